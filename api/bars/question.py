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
from api.bars.answers import Bars, Gap
from api.bars.archive.ranges import Archived, Range
from api.bars.intervals import Interval
from api.bars.minutes import Held, unknown_instrument
from api.bars.pages import Position, fill_page


class Question(NamedTuple):
    """A request for bars of an instrument, by one clock."""

    instrument_id: int
    interval: Interval
    window: Window
    limit: int
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
        instrument_id, interval, window, limit, filled, now_ms, position = self
        bars = roll_up(minutes, window, now_ms)
        if position is None:
            if filled:
                bars = fill_previous(bars, window, now_ms)
            return Bars(instrument_id, interval.text, with_partial(bars, interval, missing), None)
        if len(bars) > limit:  # up to `limit` each from the archive and from Redis
            rest = Position(instrument_id, bars[limit].t)
            bars = bars[:limit]
        if filled:
            bars, rest = fill_page(bars, window, position, rest, limit, now_ms)
        bars = with_partial(bars, interval, missing)
        return Bars(instrument_id, interval.text, bars, rest.token(interval) if rest else None)

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
        if archived.rest_ms is not None:  # Redis's minutes come after those that fit
            rest = Position(self.instrument_id, archived.rest_ms)
            return msgspec.structs.replace(self.answer(archived.bars, rest, gap), gap=gap)
        is_cut = archived.first_ms > self.window.first_ms
        if not held.is_known and not archived.bars and not is_cut:
            raise unknown_instrument(self.instrument_id)
        asked = self._replace(window=self.window.since(archived.first_ms))
        return msgspec.structs.replace(
            asked.answer(archived.followed_by(held.minutes, older), rest, gap),
            continue_before=archived.first_ms if is_cut else None,
            gap=gap,
        )
