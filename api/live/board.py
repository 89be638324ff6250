"""The newest bars of the instruments that somebody listens to: the one place that merges them.

Bars come from the subscription, in the order in which they were written, and from snapshots, which
may have been read before or after what the subscription has told. `off` says which is later: within
a bar it only grows, so what is not above what is held already is left out. Pure but for the clock.

Each event has as its id how far the quotes had come that all bars here are made of.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from api.live.frames import bar_frame, live_frame
from api.live.listener import MINUTES_HELD, Frame, Listener
from contracts.changed_bars import ChangedBar
from contracts.keyspace import BarValue

_decode: Final = msgspec.json.Decoder(BarValue).decode


class _Held(NamedTuple):
    off: tuple[int, int]
    frame: bytes


class _Watched:
    """An instrument that somebody listens to."""

    __slots__ = ("bars", "listeners")

    def __init__(self) -> None:
        self.bars: dict[int, _Held] = {}
        """The newest `MINUTES_HELD`, by their start in epoch s."""
        self.listeners: set[Listener] = set()


class Board:
    """Knows who listens to what, and tells them what changes."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._watched: dict[int, _Watched] = {}
        self._reached_ms = 0

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, listener: Listener) -> None:
        """Have a listener told of its instruments."""
        for instrument_id in listener.instruments:
            self._watched.setdefault(instrument_id, _Watched()).listeners.add(listener)

    def remove(self, listener: Listener) -> None:
        """Forget a listener, and the instruments that nobody else listens to."""
        for instrument_id in listener.instruments:
            watched = self._watched[instrument_id]
            watched.listeners.remove(listener)
            if not watched.listeners:
                del self._watched[instrument_id]

    def take(self, bars: Iterable[ChangedBar]) -> None:
        """Take bars in, and offer those that are new to whoever listens to them."""
        for instrument_id, minute_s, value in bars:
            watched = self._watched.get(instrument_id)
            if watched is not None:
                self._take(watched, instrument_id, minute_s, _decode(value))

    def take_snapshot(self, bars: Iterable[ChangedBar]) -> None:
        """Take the newest bars in as they were read, but for those that a newer minute came after.

        A listener that has the newer one must not be told the older one after it.
        """
        self.take(bar for bar in bars if bar.minute_s >= self._newest_minute(bar.instrument_id))

    def forget_bars(self) -> None:
        """Forget all bars: what is read next is taken as it is."""
        for watched in self._watched.values():
            watched.bars.clear()

    def newest(self, instruments: Iterable[int]) -> Iterator[Frame]:
        """Yield the newest bar of those instruments that have any."""
        for instrument_id in instruments:
            bars = self._watched[instrument_id].bars
            if bars:
                minute_s = max(bars)
                yield instrument_id, minute_s, bars[minute_s].frame

    def live(self) -> bytes:
        """Return the event that tells that a listener has the newest bars."""
        return live_frame(self._reached_ms)

    def missed(self, bars: Iterable[ChangedBar], since_ms: int) -> Iterator[Frame]:
        """Yield those bars that have a quote of `since_ms` or later."""
        for instrument_id, minute_s, text in bars:
            value = _decode(text)
            if value.ct >= since_ms:
                yield instrument_id, minute_s, self._frame(instrument_id, minute_s, value)

    def _newest_minute(self, instrument_id: int) -> int:
        watched = self._watched.get(instrument_id)
        return max(watched.bars, default=0) if watched is not None else 0

    def _take(self, watched: _Watched, instrument_id: int, minute_s: int, value: BarValue) -> None:
        held = watched.bars.get(minute_s)
        if held is not None and value.off <= held.off:
            return
        frame = self._frame(instrument_id, minute_s, value)
        watched.bars[minute_s] = _Held(value.off, frame)
        if len(watched.bars) > MINUTES_HELD:
            del watched.bars[min(watched.bars)]
        for listener in watched.listeners:
            listener.offer(instrument_id, minute_s, frame)

    def _frame(self, instrument_id: int, minute_s: int, value: BarValue) -> bytes:
        now_ms = self._now_ms()
        # A quote of the future says nothing of how far the others have come.
        self._reached_ms = max(self._reached_ms, min(value.ct, now_ms))
        return bar_frame(instrument_id, minute_s * 1000, value, now_ms, self._reached_ms)
