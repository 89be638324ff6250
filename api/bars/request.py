"""A request for bars of one instrument or several, and the answer that its minutes make. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from api.bars.aggregation import Window, fill_previous, roll_up, with_partial
from api.bars.answers import Bar, Bars, BarsOfMany, Gap
from api.bars.intervals import Interval
from api.bars.minutes import unknown_instrument
from api.bars.pages import Position, Sort, beginning_of, cut, fill_page, fill_page_back
from api.bars.seam import MOST_DAYS, Part, ReadOlder


class Question(NamedTuple):
    """A request for bars of an instrument, by one clock."""

    instrument_id: int
    interval: Interval
    window: Window
    limit: int
    sort: Sort
    filled: bool
    """whether the close is repeated in buckets without quotes"""
    now_ms: int
    position: Position | None
    """where a page begins; None: the last buckets are requested"""

    def answer(self, part: Part, rest: Position | None, read: ReadOlder | None) -> Bars:
        """Return the answer.

        Args:
            part: of the window; for a page, at least its first buckets.
            rest: start of the minutes that do not fit on a page and are not in `part`.
            read: reads the archive; None: nothing is read.

        Raises:
            Problem: there never was a quote.
        """
        instrument_id, interval, window, limit, sort, filled, now_ms, position = self
        whole = part.whole(read, "desc" if position is None else sort, limit, MOST_DAYS)
        minutes, continue_ms = whole.minutes, whole.rest_ms
        if continue_ms is None and not part.held.is_known and not minutes:
            raise unknown_instrument(instrument_id)
        if position is None:
            window = window if continue_ms is None else window.since(continue_ms)
            bars = roll_up(minutes, window, now_ms)
            if filled:
                bars = fill_previous(bars, window, now_ms)
        else:
            # Up to `limit` each come from the archive and from Redis.
            bars, rest_ms = cut(roll_up(minutes, window, now_ms), limit, sort)
            rest_ms = continue_ms if rest_ms is None else rest_ms
            continue_ms = None
            if rest_ms is not None:
                rest = Position(instrument_id, rest_ms)
            if filled and sort == "asc":
                bars, rest = fill_page(bars, window, position, rest, limit, now_ms)
            elif filled:
                bars, rest_ms = fill_page_back(bars, window, rest, limit, now_ms)
                rest = None if rest_ms is None else Position(instrument_id, rest_ms)
        bars = with_partial(bars, interval, whole.missing)
        return Bars(
            instrument_id,
            interval.text,
            bars if sort == "asc" else bars[::-1],
            rest.token(interval, sort) if rest else None,
            continue_ms,
            whole.gap,
        )


_DAYS_OF_A_BUCKET: Final = 8
"""Days in UTC that the longest one overlaps, a week in some time zone. With fewer left, a page may
not complete a single bucket."""


class Of(NamedTuple):
    """An instrument on a page: its window, and the part of it in Redis and the archive."""

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
