"""The trading hours of an exchange, and the buckets that overlap them. Pure.

Buckets start where they do without a session; one without trading hours is skipped, so that the
last five days are five trading days.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, cast, get_args
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from api.bars.intervals import Interval, T, in_zone
from api.http.problems import Failure, Problem, broken_rule
from contracts.messages import Ints
from contracts.times import DAY_MS

Session = Literal["regular", "extended"]
"""The exchange's trading hours, or also those before and after them."""


@dataclass(frozen=True, eq=False, slots=True)
class Hours:
    """When an exchange trades: spans in order, which do not overlap."""

    opens: Ints
    """(n,), epoch ms"""
    closes: Ints
    """(n,), epoch ms, exclusive"""

    def contain(self, ts_ms: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return whether each time is in a span, (m,)."""
        span = np.searchsorted(self.closes, ts_ms, "right")
        return np.append(self.opens, np.iinfo(np.int64).max)[span] <= ts_ms


class Calendar(msgspec.Struct, frozen=True):
    """What is known of an exchange."""

    zone: str
    """its time zone"""
    spans: dict[Session, tuple[list[int], list[int]]]
    """when they open and close, epoch ms; without the sessions whose hours are not known"""

    def hours(self, session: Session) -> Hours | None:
        """Return the hours of a session, None if they are not known."""
        if session not in self.spans:
            return None
        opens, closes = self.spans[session]
        return Hours(np.array(opens, np.int64), np.array(closes, np.int64))


@dataclass(frozen=True, slots=True)
class SessionInterval(Interval):
    """Those buckets of an interval that overlap trading hours, with the minutes in these alone."""

    grid: Interval
    hours: Hours
    named: str
    """as `query`"""

    @property
    def query(self) -> str:
        """The parameters that name it, without `interval=`."""
        return self.named

    def start_of(self, ts_ms: T) -> T:
        """Return the start of the bucket that contains a time; elementwise for an array (n,)."""
        return self.grid.start_of(ts_ms)

    def end_of(self, start_ms: int) -> int:
        """Return the end of the bucket that starts at a time, epoch ms."""
        return self.grid.end_of(start_ms)

    def first_from(self, ts_ms: int) -> int:
        """Return the start of the first bucket that starts at or after a time, epoch ms."""
        return self.grid.first_from(ts_ms)

    def moved(self, start_ms: int, n: int) -> int:
        """Return the start of the nth bucket after a time, the last one's if the calendar ends."""
        return [start_ms, *islice(self._after(start_ms), n)][-1]

    def last(self, end_ms: int, n: int) -> tuple[int, int]:
        """Return the starts of the first and the last of the `n` buckets that start before."""
        found = [start for start, _ in zip(self._before(end_ms), range(n), strict=False)]
        first_ms = self.start_of(end_ms - 1)
        return (found[-1], found[0]) if found else (first_ms, first_ms)

    def starts(self, first_ms: int, last_ms: int) -> list[int]:
        """Return the starts of the buckets from one to another, inclusive; there may be none."""
        found: list[int] = []
        for start in self._after(first_ms - 1):
            if start > last_ms:
                break
            found.append(start)
        return found

    def traded(self, minutes: Sequence[int]) -> Sequence[int]:
        """Return those of some minutes, in order, that are in trading hours."""
        starts = np.fromiter(minutes, np.int64)
        found: list[int] = starts[self.hours.contain(starts)].tolist()
        return found

    def trades(self, first_ms: int, end_ms: int) -> bool:
        """Return whether there are trading hours in `[first_ms, end_ms)`, which may be empty."""
        span = int(np.searchsorted(self.hours.closes, first_ms, "right"))
        return first_ms < end_ms and span < self._spans and int(self.hours.opens[span]) < end_ms

    def rows(self, minutes: Ints) -> Ints:
        """Return the places of the minutes that are in trading hours, (k,)."""
        return np.flatnonzero(self.hours.contain(minutes))

    def _after(self, ms: int) -> Iterator[int]:
        """Yield the starts of the buckets that start after a time, in order."""
        # A bucket that starts after the time may overlap a span that began before.
        for span in range(int(np.searchsorted(self.hours.closes, ms, "right")), self._spans):
            for start in self._of_span(span):
                if start > ms:
                    yield start
                    ms = start

    def _before(self, ms: int) -> Iterator[int]:
        """Yield the starts of the buckets that start before a time, the last one first."""
        # The bucket that a time cuts may overlap a span that begins later.
        end_ms = self.grid.end_of(self.grid.start_of(ms - 1))
        for span in range(int(np.searchsorted(self.hours.opens, end_ms)) - 1, -1, -1):
            for start in reversed(self._of_span(span)):
                if start < ms:
                    yield start
                    ms = start

    def _of_span(self, span: int) -> Sequence[int]:
        grid = self.grid
        first_ms = grid.start_of(int(self.hours.opens[span]))
        return grid.starts(first_ms, grid.start_of(int(self.hours.closes[span]) - 1))

    @property
    def _spans(self) -> int:
        return len(self.hours.opens)


def parse_session(text: str) -> Session | None:
    """Return the session that a text names, None if it is empty.

    Raises:
        ValueError: it names none.
    """
    if text not in ("", *get_args(Session)):
        raise ValueError(f"must be {' or '.join(get_args(Session))}")
    return cast("Session", text) if text else None


class NoHoursError(Failure):
    """The trading hours of an instrument are not known."""

    def problem(self) -> Problem:
        """Return the problem of a request for this instrument alone."""
        return broken_rule("session", str(self))


HoursOf = Callable[[int, Session], tuple[Hours, ZoneInfo]]
"""Returns the hours of an instrument's exchange, and its time zone; raises NoHoursError or Problem.
"""


def in_session(
    interval: Interval, zone: ZoneInfo | None, session: Session, hours: Hours, local: ZoneInfo
) -> SessionInterval:
    """Return the buckets of an interval in a session.

    Args:
        interval: the interval.
        zone: whose days they are; None: those of the exchange.
        session: the session.
        hours: those of the session.
        local: the exchange's time zone.

    Raises:
        Problem: as `in_zone`.
    """
    named = in_zone(interval, zone)
    is_local = zone is None and interval.length_ms % DAY_MS == 0
    grid = in_zone(interval, local) if is_local else named
    query = f"{named.query}&session={session}"
    return SessionInterval(interval.length_ms, interval.text, grid, hours, query)
