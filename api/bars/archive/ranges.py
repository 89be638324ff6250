"""What a read requests from the archive, and what it gets."""

from dataclasses import dataclass
from typing import Final

from api.bars.aggregation import MinuteBars
from api.bars.answers import Gap
from api.bars.intervals import Interval
from contracts.bars import Minute
from contracts.times import MINUTE_MS

MOST_DAYS: Final = 62
"""That one answer may read, not counting days without files: some 25 ms each in a large archive."""


@dataclass(frozen=True, slots=True)
class Range:
    """An instrument's minutes that start in `[first_ms, end_ms)`, and the buckets."""

    instrument_id: int
    first_ms: int
    """start of a bucket"""
    end_ms: int
    interval: Interval
    whole_from_ms: int
    """Redis has all minutes from here on, and only some of the earlier ones"""


@dataclass(frozen=True, slots=True)
class Archived:
    """The part of a range that the archive has."""

    bars: list[tuple[int, Minute]]
    """each bucket's start with its merged minutes, oldest first"""
    first_ms: int
    """start of the first bucket that was read"""
    rest_ms: int | None
    """start of the first bucket after `bars` that was not read, or, if the last buckets were
    requested, end of the last one before `bars` that was not; None: all were"""
    newest_ms: int | None
    """start of the newest minute in the archive, of any instrument"""
    days: int = 0
    """of the archive that were read"""

    def gap(self, asked: Range) -> Gap | None:
        """Return the minutes between the end of the archive and where Redis is complete."""
        start_ms = asked.first_ms if self.newest_ms is None else self.newest_ms + MINUTE_MS
        start_ms = max(start_ms, asked.first_ms)
        end_ms = min(asked.end_ms, asked.whole_from_ms)
        return Gap(start_ms, end_ms) if start_ms < end_ms else None

    def followed_by(self, held: MinuteBars, asked: Range) -> MinuteBars:
        """Return the bars, followed by those that Redis holds after the end of the archive.

        In a gap, that is all there is, though minutes or some of their quotes may be missing.
        """
        end_ms = asked.first_ms if self.newest_ms is None else self.newest_ms + MINUTE_MS
        end_ms = min(asked.end_ms, end_ms)
        return [*self.bars, *(minute for minute in held if minute[0] >= end_ms)]
