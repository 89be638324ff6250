"""A request for bars of several instruments, and the page that their minutes make. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from api.bars.aggregation import Window, roll_up, with_partial
from api.bars.answers import Bar, BarsOfMany, Gap
from api.bars.intervals import Interval
from api.bars.older import MOST_DAYS, ReadOlder
from api.bars.pages import Position, Sort, beginning_of, cut
from api.bars.seam import Part

_DAYS_OF_A_BUCKET: Final = 8
"""Days in UTC that the longest one overlaps, a week in some time zone. With fewer left, a page may
not complete a single bucket."""


class Of(NamedTuple):
    """The window of an instrument on a page, and what Redis holds of it."""

    instrument_id: int
    name: str
    window: Window
    part: Part


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

    def answer(self, read: ReadOlder | None) -> BarsOfMany:
        """Return the answer; `read` reads the archive, None: nothing is read."""
        bars: dict[str, list[Bar]] = {}
        unknown, gaps = list(self.unknown), []
        left, days, rest = self.limit, MOST_DAYS, self.rest
        for of in self.instruments:
            if read is not None and (not left or days < _DAYS_OF_A_BUCKET):
                rest = Position(of.instrument_id, beginning_of(of.window, self.sort))
                break
            whole = of.part.whole(read, self.sort, left, days)
            days -= whole.days
            made = roll_up(whole.minutes, of.window, self.now_ms)
            made, rest_ms = cut(
                with_partial(made, of.window.interval, whole.missing), left, self.sort
            )
            rest_ms = whole.rest_ms if rest_ms is None else rest_ms
            if made:
                bars[of.name] = made if self.sort == "asc" else made[::-1]
                left -= len(made)
            elif not of.part.held.is_known and rest_ms is None:
                unknown.append(of.name)
            if whole.gap is not None:
                gaps.append(whole.gap)
            if rest_ms is not None:
                rest = Position(of.instrument_id, rest_ms)
                break
        token = rest.token(self.interval, self.sort) if rest else None
        gap = _all_of(gaps)
        return BarsOfMany(self.interval.text, bars, unknown, token, gap, self.without_hours)


def _all_of(gaps: Iterable[Gap]) -> Gap | None:
    """Return the span from the start of the first gap to the end of the last one."""
    found = list(gaps)
    if not found:
        return None
    return Gap(min(gap.start for gap in found), max(gap.end for gap in found))
