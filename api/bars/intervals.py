"""Intervals: how time is divided into the buckets of bars. Pure.

An interval is a whole multiple of a minute, an hour, a day or a week, up to a week. Its buckets
follow one another without gaps, and one starts on the first Monday after the epoch, so weeks begin
on Mondays, and buckets align with all shorter ones that divide them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

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
