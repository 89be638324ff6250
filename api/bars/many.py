"""A request for bars of several instruments, and the page that their minutes make. Pure.

The function that reads the archive is passed in, as it blocks: the answer is then made in its
thread.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from api.bars.aggregation import MinuteBars, Window, roll_up, with_partial
from api.bars.answers import Bar, BarsOfMany, Gap
from api.bars.archive.ranges import MOST_DAYS, Archived, Range
from api.bars.intervals import Interval
from api.bars.minutes import Held
from api.bars.pages import Position, Sort, beginning_of, cut

_DAYS_OF_A_BUCKET: Final = 8
"""Days in UTC that the longest one overlaps, a week in some time zone. With fewer left, a page may
not complete a single bucket."""

ReadArchive = Callable[[Range, int, int], Archived]
"""Returns the first buckets of a range; takes the range, their number, and the days to read."""


class Of(NamedTuple):
    """The window of an instrument on a page, and what Redis holds of it."""

    instrument_id: int
    name: str
    window: Window
    held: Held
    missing: Gap | None
    """minutes that Redis may have only in part"""
    older: Range | None
    """minutes of which the archive may have more"""


class QuestionOfMany(NamedTuple):
    """A request for bars of several instruments, by one clock."""

    interval: Interval
    limit: int
    sort: Sort
    now_ms: int
    instruments: list[Of]
    """in the order of pages, up to the instrument of `rest`"""
    rest: Position | None
    """start of the minutes from Redis that do not fit on the page"""
    unknown: list[str]
    """names in the request of those that are known to have no quotes"""
    without_hours: dict[str, str]
    """names in the request of those without trading hours, each with the reason"""

    def answer(self) -> BarsOfMany:
        """Return the answer from Redis alone."""
        bars = {
            of.name: self._sorted(self._bars(of, of.held.minutes, of.missing))
            for of in self.instruments
            if of.held.minutes
        }
        return self._answer(bars, self.unknown, self.rest, None)

    def answer_with(self, read: ReadArchive) -> BarsOfMany:
        """Return the answer from Redis and the archive."""
        bars: dict[str, list[Bar]] = {}
        unknown, gaps = list(self.unknown), []
        left, days, rest = self.limit, MOST_DAYS, self.rest
        for of in self.instruments:
            if not left or days < _DAYS_OF_A_BUCKET:
                rest = Position(of.instrument_id, beginning_of(of.window, self.sort))
                break
            minutes, gap, archived_rest_ms = of.held.minutes, None, None
            if of.older is not None:
                archived = read(of.older, left, days)
                days -= archived.days
                gap, archived_rest_ms = archived.gap(of.older), archived.rest_ms
                minutes = archived.bars
                if archived_rest_ms is None or self.sort == "desc":
                    minutes = archived.followed_by(of.held.minutes, of.older)
            own, rest_ms = cut(self._bars(of, minutes, gap), left, self.sort)
            rest_ms = archived_rest_ms if rest_ms is None else rest_ms
            if own:
                bars[of.name] = self._sorted(own)
                left -= len(own)
            if gap is not None and of.held.is_known:
                gaps.append(gap)
            if not of.held.is_known and not own and rest_ms is None:
                unknown.append(of.name)
            if rest_ms is not None:
                rest = Position(of.instrument_id, rest_ms)
                break
        return self._answer(bars, unknown, rest, _all_of(gaps))

    def _answer(
        self,
        bars: dict[str, list[Bar]],
        unknown: list[str],
        rest: Position | None,
        gap: Gap | None,
    ) -> BarsOfMany:
        token = rest.token(self.interval, self.sort) if rest else None
        return BarsOfMany(self.interval.text, bars, unknown, token, gap, self.without_hours)

    def _sorted(self, bars: list[Bar]) -> list[Bar]:
        return bars if self.sort == "asc" else bars[::-1]

    def _bars(self, of: Of, minutes: MinuteBars, missing: Gap | None) -> list[Bar]:
        bars = roll_up(minutes, of.window, self.now_ms)
        return with_partial(bars, of.window.interval, missing)


def _all_of(gaps: Iterable[Gap]) -> Gap | None:
    """Return the span from the start of the first gap to the end of the last one."""
    found = list(gaps)
    if not found:
        return None
    return Gap(min(gap.start for gap in found), max(gap.end for gap in found))
