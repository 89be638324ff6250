"""What is asked of the archive, and what it answers."""

from dataclasses import dataclass
from typing import Final

from api.bars.aggregation import MINUTE_MS, Minute, MinuteBars
from api.bars.answers import Gap

MOST_DAYS: Final = 62
"""That one answer is read from, of those that have files: some 25 ms each of a large archive."""


@dataclass(frozen=True, slots=True)
class Range:
    """The minutes of an instrument that start in `[first_ms, end_ms)`, for buckets of a length."""

    instrument_id: int
    first_ms: int
    """start of a bucket"""
    end_ms: int
    interval_ms: int
    whole_from_ms: int
    """from when on Redis has all minutes; of those before, only some"""


@dataclass(frozen=True, slots=True)
class Archived:
    """What the archive has of a range."""

    bars: list[tuple[int, Minute]]
    """what its minutes add to the bucket of each, with the bucket's start, oldest first"""
    first_ms: int
    """start of the first bucket that was looked at"""
    rest_ms: int | None
    """start of the first bucket after `bars` that was not looked at; None: all were"""
    newest_ms: int | None
    """start of the newest minute in the archive, of any instrument"""
    days: int = 0
    """of the archive that were read"""

    def gap(self, asked: Range) -> Gap | None:
        """Return the minutes of a range that the archive does not reach, nor Redis in whole."""
        start_ms = asked.first_ms if self.newest_ms is None else self.newest_ms + MINUTE_MS
        start_ms = max(start_ms, asked.first_ms)
        end_ms = min(asked.end_ms, asked.whole_from_ms)
        return Gap(start_ms, end_ms) if start_ms < end_ms else None

    def followed_by(self, held: MinuteBars, asked: Range) -> MinuteBars:
        """Return the bars, and after them what Redis holds that is not the archive's to say.

        In a gap that is all that anyone has, though minutes may be missing, or quotes of them.
        """
        end_ms = asked.first_ms if self.newest_ms is None else self.newest_ms + MINUTE_MS
        end_ms = min(asked.end_ms, end_ms)
        return [*self.bars, *(minute for minute in held if minute[0] >= end_ms)]
