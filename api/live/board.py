"""Merges the newest bars of the instruments that have listeners.

Bars come from the subscription, in the order in which they were written, and from snapshots, which
may be older or newer than the messages. `off` decides: within a bar it only grows, so a bar whose
`off` is not above the known one is ignored. The newest quote of an instrument is the last one of
its newest bar. Pure except for the clock.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from api.live.answers import Frame, bar_frame, quote_frame
from api.live.listener import MINUTES_HELD, BarEvent, Channel, Listener, QuoteEvent, Subscription
from contracts.bar_messages import ChangedBar
from contracts.bars import BarValue
from contracts.times import MINUTE_MS, minute_of

_decode: Final = msgspec.json.Decoder(BarValue).decode


class _Held(NamedTuple):
    value: BarValue
    frame: Frame

    def event(self, instrument_id: int, minute_ms: int) -> BarEvent:
        return BarEvent((instrument_id, minute_ms), self.frame)


class _Watched:
    """An instrument with listeners."""

    __slots__ = ("bars", "listeners", "quote")

    def __init__(self) -> None:
        self.bars: dict[int, _Held] = {}
        """The newest `MINUTES_HELD`, keyed by their start in epoch ms."""
        self.listeners: dict[Channel, set[Listener]] = {"bars": set(), "quotes": set()}
        self.quote: Frame | None = None


class Board:
    """Tracks the listeners of each instrument, and passes changes on to them."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._watched: dict[int, _Watched] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, listener: Listener, subscriptions: Iterable[Subscription]) -> None:
        """Pass these changes on to a listener."""
        for channel, instrument_id in subscriptions:
            watched = self._watched.setdefault(instrument_id, _Watched())
            watched.listeners[channel].add(listener)

    def remove(self, listener: Listener, subscriptions: Iterable[Subscription]) -> None:
        """End a listener's subscriptions; forget instruments without other listeners."""
        for channel, instrument_id in subscriptions:
            watched = self._watched[instrument_id]
            watched.listeners[channel].remove(listener)
            if not any(watched.listeners.values()):
                del self._watched[instrument_id]

    def take(self, bars: Iterable[ChangedBar]) -> None:
        """Merge bars, and offer new ones to their listeners."""
        for instrument_id, minute_s, value in bars:
            watched = self._watched.get(instrument_id)
            if watched is not None:
                self._take(watched, instrument_id, minute_of(minute_s), _decode(value))

    def take_snapshot(self, bars: Iterable[ChangedBar]) -> None:
        """Merge the bars of a snapshot, except those already followed by a newer minute.

        A listener that has the newer one must not receive the older one after it.
        """
        self.take(bar for bar in bars if not self._is_followed(bar))

    def forget_bars(self) -> None:
        """Forget all bars: the next ones are accepted as they are."""
        for watched in self._watched.values():
            watched.bars.clear()
            watched.quote = None

    def newest_bars(self, subscriptions: Iterable[Subscription]) -> Iterator[BarEvent]:
        """Yield the newest bar of those instruments of the channel that have any."""
        for instrument_id, minute_ms, watched in self._newest(subscriptions, "bars"):
            held = watched.bars[minute_ms]
            if not held.frame.content.closed and minute_ms + MINUTE_MS <= self._now_ms():
                held = self._hold(watched, instrument_id, minute_ms, held.value)
            yield held.event(instrument_id, minute_ms)

    def newest_quotes(self, subscriptions: Iterable[Subscription]) -> Iterator[QuoteEvent]:
        """Yield the newest quote of those instruments of the channel that have any."""
        for instrument_id, minute_ms, watched in self._newest(subscriptions, "quotes"):
            if watched.quote is None:
                watched.quote = quote_frame(instrument_id, watched.bars[minute_ms].value)
            yield QuoteEvent(instrument_id, watched.quote)

    def _newest(
        self, subscriptions: Iterable[Subscription], channel: Channel
    ) -> Iterator[tuple[int, int, _Watched]]:
        for its_channel, instrument_id in subscriptions:
            watched = self._watched[instrument_id]
            if its_channel == channel and watched.bars:
                yield instrument_id, max(watched.bars), watched

    def _is_followed(self, bar: ChangedBar) -> bool:
        watched = self._watched.get(bar.instrument_id)
        return watched is not None and minute_of(bar.minute_s) < max(watched.bars, default=0)

    def _take(self, watched: _Watched, instrument_id: int, minute_ms: int, value: BarValue) -> None:
        held = watched.bars.get(minute_ms)
        if held is not None and value.off <= held.value.off:
            return
        held = self._hold(watched, instrument_id, minute_ms, value)
        is_newest = minute_ms == max(watched.bars)
        if len(watched.bars) > MINUTES_HELD:
            del watched.bars[min(watched.bars)]
        bar = held.event(instrument_id, minute_ms)
        for listener in watched.listeners["bars"]:
            listener.offer_bar(bar)
        if is_newest:
            self._take_quote(watched, instrument_id, value)

    def _take_quote(self, watched: _Watched, instrument_id: int, value: BarValue) -> None:
        """Offer the last quote of the newest bar, unless an earlier state had the same."""
        before = watched.quote.content if watched.quote is not None else None
        if before is not None and (before.price, before.ts) == (value.c, value.ct):
            return
        watched.quote = None
        if watched.listeners["quotes"]:
            watched.quote = quote_frame(instrument_id, value)
            quote = QuoteEvent(instrument_id, watched.quote)
            for listener in watched.listeners["quotes"]:
                listener.offer_quote(quote)

    def _hold(
        self, watched: _Watched, instrument_id: int, minute_ms: int, value: BarValue
    ) -> _Held:
        frame = bar_frame(instrument_id, minute_ms, value, self._now_ms())
        held = watched.bars[minute_ms] = _Held(value, frame)
        return held
