"""A request for bars of one instrument, and the answer that its minutes make. Pure."""

from typing import NamedTuple

import msgspec

from api.bars.aggregation import (
    MinuteBars,
    Window,
    fill_previous,
    roll_up,
    with_partial,
)
from api.bars.answers import Bar, Bars, Gap
from api.bars.archive.ranges import Archived, Range
from api.bars.intervals import Interval
from api.bars.minutes import Held, unknown_instrument
from api.bars.pages import Position, Sort, cut, fill_page, fill_page_back


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

    def answer(
        self, minutes: MinuteBars, rest: Position | None, missing: Gap | None = None
    ) -> Bars:
        """Return the answer.

        Args:
            minutes: of the window; for a page, at least those of its first buckets.
            rest: start of the minutes that do not fit on a page and are not given.
            missing: minutes of the window that may be missing from those given.
        """
        instrument_id, _, window, limit, sort, filled, now_ms, position = self
        bars = roll_up(minutes, window, now_ms)
        if position is None:
            if filled:
                bars = fill_previous(bars, window, now_ms)
            return self._answer(bars, None, missing)
        bars, rest_ms = cut(bars, limit, sort)  # up to `limit` each from the archive and from Redis
        if rest_ms is not None:
            rest = Position(instrument_id, rest_ms)
        if filled and sort == "asc":
            bars, rest = fill_page(bars, window, position, rest, limit, now_ms)
        elif filled:
            bars, rest_ms = fill_page_back(bars, window, rest, limit, now_ms)
            rest = None if rest_ms is None else Position(instrument_id, rest_ms)
        return self._answer(bars, rest, missing)

    def answer_with(
        self, archived: Archived, older: Range, held: Held, rest: Position | None
    ) -> Bars:
        """Return the answer from Redis and the archive.

        Args:
            archived: what the archive has of `older`.
            older: the minutes of the window that Redis has only in part.
            held: what Redis holds.
            rest: as for `answer`.

        Raises:
            Problem: there never was a quote.
        """
        gap = archived.gap(older) if held.is_known else None
        if archived.rest_ms is not None:
            rest = Position(self.instrument_id, archived.rest_ms)
            minutes: MinuteBars = archived.bars  # Redis's come after those that fit
            if self.sort == "desc":
                minutes = archived.followed_by(held.minutes, older)
            return msgspec.structs.replace(self.answer(minutes, rest, gap), gap=gap)
        is_cut = archived.first_ms > self.window.first_ms
        if not held.is_known and not archived.bars and not is_cut:
            raise unknown_instrument(self.instrument_id)
        asked = self._replace(window=self.window.since(archived.first_ms))
        return msgspec.structs.replace(
            asked.answer(archived.followed_by(held.minutes, older), rest, gap),
            continue_before=archived.first_ms if is_cut else None,
            gap=gap,
        )

    def _answer(self, bars: list[Bar], rest: Position | None, missing: Gap | None) -> Bars:
        """Return the answer with these bars, given oldest first."""
        bars = with_partial(bars, self.interval, missing)
        token = rest.token(self.interval, self.sort) if rest else None
        in_order = bars if self.sort == "asc" else bars[::-1]
        return Bars(self.instrument_id, self.interval.text, in_order, token)
