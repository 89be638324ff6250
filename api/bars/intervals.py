"""Intervals: how time is divided into the buckets of bars. Pure.

An interval is a whole multiple of a minute, an hour, a day or a week, up to a week. Its buckets
follow one another without gaps, and one starts on the first Monday after the epoch, so weeks begin
on Mondays, and buckets align with all shorter ones that divide them.

Intervals of whole days may be those of a time zone, in which buckets start when a local day does:
at midnight, or, where clocks are turned forward at midnight, right after that. The day of a change
is shorter or longer by as much as the clocks are moved.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Final, TypeVar, cast
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from api.http.problems import broken_rule
from contracts.messages import Ints
from contracts.times import DAY_MS, HOUR_MS, MINUTE_MS

T = TypeVar("T", int, Ints)

UNITS_MS: Final = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
"""Length of each unit, shortest first."""
LONGEST_MS: Final = UNITS_MS["w"]
"""The minutes of a bucket fit into one page."""
PATTERN: Final = f"[1-9][0-9]{{0,4}}[{''.join(UNITS_MS)}]"
_RULE: Final = "must be a whole number of m, h, d or w, such as 5m, 2h or 1d, and at most a week"
_MONDAY_MS: Final = 4 * DAY_MS
"""The first one after the epoch."""
_INTERVALS_KNOWN: Final = 256

_interval: Final = re.compile(PATTERN, re.ASCII)


@dataclass(frozen=True, slots=True)
class Interval:
    """Buckets of one length."""

    length_ms: int
    text: str = field(compare=False)
    """in its greatest unit"""

    @property
    def query(self) -> str:
        """The parameters that name it, without `interval=`."""
        return self.text

    def start_of(self, ts_ms: T) -> T:
        """Return the start of the bucket that contains a time; elementwise for an array (n,).

        >>> parse_interval("1w").start_of(1629061628123)  # a Sunday
        1628467200000
        """
        return ts_ms - (ts_ms - _MONDAY_MS) % self.length_ms

    def end_of(self, start_ms: int) -> int:
        """Return the end of the bucket that starts at a time, epoch ms."""
        return start_ms + self.length_ms

    def first_from(self, ts_ms: int) -> int:
        """Return the start of the first bucket that starts at or after a time, epoch ms."""
        return ts_ms + (_MONDAY_MS - ts_ms) % self.length_ms

    def moved(self, start_ms: int, n: int) -> int:
        """Return the start of the bucket `n` buckets after the one that starts at a time."""
        return start_ms + n * self.length_ms

    def last(self, end_ms: int, n: int) -> tuple[int, int]:
        """Return the starts of the first and the last of the `n` buckets that start before."""
        length_ms = self.length_ms
        last_ms = end_ms - 1 - (end_ms - 1 - _MONDAY_MS) % length_ms
        return last_ms - (n - 1) * length_ms, last_ms

    def traded(self, minutes: Sequence[int]) -> Sequence[int]:
        """Return those of some minutes that count: all, if there is no session."""
        return minutes

    def trades(self, first_ms: int, end_ms: int) -> bool:
        """Return whether minutes count in `[first_ms, end_ms)`, which may be empty."""
        return first_ms < end_ms

    def rows(self, minutes: Ints) -> Ints | slice:  # noqa: ARG002 (for those with a session)
        """Return the places of the minutes that count: all, if there is no session."""
        return slice(None)

    def starts(self, first_ms: int, last_ms: int) -> Sequence[int]:
        """Return the starts of the buckets from one to another, inclusive; there may be none."""
        return range(first_ms, last_ms + 1, self.length_ms)


@lru_cache(_INTERVALS_KNOWN)
def parse_interval(text: str) -> Interval:
    """Return the interval that a text names.

    >>> parse_interval("90m").length_ms, parse_interval("60m").text
    (5400000, '1h')

    Raises:
        ValueError: it names none, or one that is too long.
    """
    if not _interval.fullmatch(text):
        raise ValueError(_RULE)
    length_ms = int(text[:-1]) * UNITS_MS[text[-1]]
    if length_ms > LONGEST_MS:
        raise ValueError(_RULE)
    return Interval(length_ms, _text_of(length_ms))


def _text_of(length_ms: int) -> str:
    unit, unit_ms = next(u for u in reversed(UNITS_MS.items()) if length_ms % u[1] == 0)
    return f"{length_ms // unit_ms}{unit}"


MINUTE: Final = parse_interval("1m")
DAY: Final = parse_interval("1d")

MAX_ZONE: Final = 64
"""Characters of a name."""
_EPOCH: Final = date(1970, 1, 1).toordinal()
_MONDAY: Final = 4
"""The first one after the epoch, in days since then."""
_DAYS_KNOWN: Final = 16_384


@dataclass(frozen=True, slots=True)
class LocalInterval(Interval):
    """Buckets of whole local days, one of which starts on Monday, 5 January 1970."""

    zone: ZoneInfo

    @property
    def query(self) -> str:
        """The parameters that name it, without `interval=`."""
        return f"{self.text}&timezone={self.zone.key}"

    def start_of(self, ts_ms: T) -> T:
        """Return the start of the bucket that contains a time; elementwise for an array (n,)."""
        if isinstance(ts_ms, int):
            return self._start(self._number(ts_ms))
        if not len(ts_ms):
            return ts_ms
        starts = np.array(
            self.starts(*(self.start_of(int(at)) for at in (ts_ms.min(), ts_ms.max())))
        )
        return cast("T", starts[np.searchsorted(starts, ts_ms, "right") - 1])

    def end_of(self, start_ms: int) -> int:
        """Return the end of the bucket that starts at a time, epoch ms."""
        return self.moved(start_ms, 1)

    def first_from(self, ts_ms: int) -> int:
        """Return the start of the first bucket that starts at or after a time, epoch ms."""
        start_ms = self.start_of(ts_ms)
        return start_ms if start_ms == ts_ms else self.moved(start_ms, 1)

    def moved(self, start_ms: int, n: int) -> int:
        """Return the start of the bucket `n` buckets after the one that starts at a time."""
        return self._start(self._number(start_ms) + n)

    def last(self, end_ms: int, n: int) -> tuple[int, int]:
        """Return the starts of the first and the last of the `n` buckets that start before."""
        number = self._number(end_ms - 1)
        return self._start(number - n + 1), self._start(number)

    def starts(self, first_ms: int, last_ms: int) -> list[int]:
        """Return the starts of the buckets from one to another, inclusive; there may be none."""
        numbers = range(self._number(first_ms), self._number(last_ms) + 1)
        # A day that a zone skipped, as Samoa did on moving over the date line, has no bucket.
        return list(dict.fromkeys(map(self._start, numbers)))

    def _number(self, ts_ms: int) -> int:
        """Return the number of the bucket that contains a time, counted from that of the Monday."""
        number = (ts_ms // DAY_MS + 1 - _MONDAY) // self._days  # no zone is a day ahead of UTC
        while self._start(number) > ts_ms:
            number -= 1
        return number

    def _start(self, number: int) -> int:
        return _day_start(self.zone, _MONDAY + number * self._days)

    @property
    def _days(self) -> int:
        return self.length_ms // DAY_MS


def in_zone(interval: Interval, zone: ZoneInfo | None) -> Interval:
    """Return the buckets of an interval in a time zone; None is UTC.

    Raises:
        Problem: the interval is not of whole days.
    """
    if zone is None:
        return interval
    if interval.length_ms % DAY_MS:
        reason = f"needs an interval of whole days, such as 1d or 1w, not {interval.text}"
        raise broken_rule("timezone", reason)
    return LocalInterval(interval.length_ms, interval.text, zone)


def parse_zone(text: str) -> ZoneInfo | None:
    """Return the time zone of a name of the IANA database; None for UTC, and for an empty text.

    Raises:
        ValueError: there is no such zone.
    """
    if text in ("", "UTC"):
        return None
    if text not in _names():
        raise ValueError("must be a name of the IANA time zone database, like America/New_York")
    return ZoneInfo(text)


@cache
def _names() -> frozenset[str]:
    # Besides the database's, a system may have its own zone by this name.
    return frozenset(available_timezones()) - {"localtime"}  # 20 ms


@lru_cache(_DAYS_KNOWN)
def _day_start(zone: ZoneInfo, day: int) -> int:
    """Return when a day begins in a zone, epoch ms.

    Args:
        zone: the time zone.
        day: in days since the epoch.
    """
    # The offset of midnight is that before a change at midnight. Days that a date cannot be are
    # taken to have the offset of the last one.
    ordinal = min(max(_EPOCH + day, 2), date.max.toordinal() - 1)
    offset = datetime.fromordinal(ordinal).replace(tzinfo=zone).utcoffset()
    assert offset is not None  # noqa: S101 (zones of the database have one)
    start_ms = day * DAY_MS - 1000 * int(offset.total_seconds())
    return -(-start_ms // MINUTE_MS) * MINUTE_MS  # offsets had seconds until 1972
