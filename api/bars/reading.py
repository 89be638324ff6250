"""Reads of bars: each returns its whole answer."""

from collections.abc import Callable, Sequence
from typing import Final

from api.bars.aggregation import Interval, Window, fill_previous, legacy_bars, roll_up
from api.bars.answers import Bar, Bars, BarsOfMany
from api.bars.asked import Asked
from api.bars.minutes import MinuteReader, unknown_instrument
from api.bars.pages import Position, fill_page
from api.http.problems import broken_rule
from api.http.replies import NOW, Reply, reply
from api.redis.reading import Read
from api.redis.store import Store

LEGACY_MINUTES: Final = 5


class BarReader:
    """Reads the bars of one namespace, by one clock."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._minutes = MinuteReader(store)
        self._now_ms = now_ms

    def bars(
        self,
        instrument: int,
        limit: int,
        start: int | None,
        end: int | None,
        interval: Interval,
        fill: str,
        page_token: Position | None,
    ) -> Read[Reply]:
        """Answer with bars of any interval."""
        now_ms = self._now_ms()
        end_ms = now_ms if end is None else end
        filled = fill == "previous"
        if start is not None or page_token is not None:
            if page_token is not None and page_token.instrument_id != instrument:
                raise broken_rule("page_token", "must be of an answer for the same instrument")
            position = page_token or Position(instrument, start or 0)
            # Filling ends with the running bucket: what the price will be is not known.
            last_ms = min(end_ms, now_ms) if filled else end_ms
            window = Window.between(position.start_ms, last_ms, interval)
            found, rest = yield from self._page(position, window, limit, filled=filled)
        else:
            window, rest = Window.before(end_ms, interval, limit), None
            found = roll_up((yield from self._minutes.window(instrument, window)), window, now_ms)
            if filled:
                found = fill_previous(found, window, now_ms)
        return reply(Bars(instrument, interval, found, _token(rest)), NOW)

    def bars_of_many(
        self,
        instruments: Asked,
        limit: int,
        start: int | None,
        end: int | None,
        interval: Interval,
        page_token: Position | None,
    ) -> Read[Reply]:
        """Answer with bars of several instruments, in the order of their ids."""
        now_ms, names = self._now_ms(), instruments.names
        window = _window_of_each(len(names), limit, start, now_ms if end is None else end, interval)
        lengths = dict(zip(names, (yield from self._minutes.lengths(list(names))), strict=True))
        known = [i for i, length in lengths.items() if length]
        windows = _windows_from(page_token, known, window)
        found = yield from self._minutes.page(windows, [lengths[i] for i in windows], limit)
        bars = {names[i]: roll_up(of, window, now_ms) for i, of in found.minutes.items()}
        unknown = instruments.without(known)
        return reply(BarsOfMany(interval, bars, unknown, _token(found.rest)), NOW)

    def legacy(self, instrument_id: int) -> Read[Reply]:
        """Answer with the last minutes in the first version's form."""
        window = Window.before(self._now_ms(), "1m", LEGACY_MINUTES)
        minutes = yield from self._minutes.window(instrument_id, window)
        return reply(legacy_bars(instrument_id, minutes), NOW)

    def _page(
        self, position: Position, window: Window, limit: int, *, filled: bool
    ) -> Read[tuple[list[Bar], Position | None]]:
        """Return the first bars of a window, and where the rest begins."""
        now_ms, instrument = self._now_ms(), position.instrument_id
        lengths = yield from self._minutes.lengths([instrument])
        if not lengths[0]:
            raise unknown_instrument(instrument)
        found = yield from self._minutes.page({instrument: window}, lengths, limit)
        bars = roll_up(found.minutes.get(instrument, ()), window, now_ms)
        if not filled:
            return bars, found.rest
        return fill_page(bars, window, position, found.rest, limit, now_ms)


def _window_of_each(
    instruments: int, limit: int, start: int | None, end_ms: int, interval: Interval
) -> Window:
    """Return the buckets from `start` on, or as many of the last as make `limit` together."""
    if start is not None:
        return Window.between(start, end_ms, interval)
    if limit < instruments:
        reason = f"must be {instruments} or more, one for each instrument, without `start`"
        raise broken_rule("limit", reason)
    return Window.before(end_ms, interval, limit // max(instruments, 1))


def _windows_from(
    position: Position | None, instruments: Sequence[int], window: Window
) -> dict[int, Window]:
    """Return what is left of each instrument's window where a page begins."""
    if position is None:
        return dict.fromkeys(instruments, window)
    first = position.instrument_id
    left = {i: window for i in instruments if i >= first}
    return left | {i: window.since(position.start_ms) for i in left if i == first}


def _token(position: Position | None) -> str | None:
    return position.token() if position else None
