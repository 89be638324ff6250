"""Intervals of whole days in a time zone: buckets start when a local day does. Pure.

A local day starts at midnight, or, where clocks are turned forward at midnight, right after that.
The day of a change is shorter or longer by as much as the clocks are moved.
"""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Final, cast
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from api.bars.intervals import Interval, T
from api.http.problems import broken_rule
from contracts.times import DAY_MS, MINUTE_MS

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
