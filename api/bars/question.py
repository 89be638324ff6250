"""A request for bars of one instrument, and the answer that its minutes make. Pure."""

from typing import NamedTuple

from api.bars.aggregation import Window, fill_previous, roll_up, with_partial
from api.bars.answers import Bars
from api.bars.intervals import Interval
from api.bars.minutes import unknown_instrument
from api.bars.older import MOST_DAYS, ReadOlder
from api.bars.pages import Position, Sort, cut, fill_page, fill_page_back
from api.bars.seam import Part


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
