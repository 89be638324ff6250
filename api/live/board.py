"""Merges the newest bars of the instruments that have listeners.

Bars come from the subscription, in the order in which they were written, and from snapshots, which
may be older or newer than the messages. `off` decides: within a bar it only grows, so a bar whose
`off` is not above the known one is ignored. Pure except for the clock.

The id of an event is the event time that the quotes of all bars here had reached.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from api.live.frames import bar_frame, live_frame
from api.live.listener import MINUTES_HELD, Frame, Listener
from contracts.bars import BarValue
from contracts.changed_bars import ChangedBar
from contracts.log_position import LogPosition
from contracts.times import minute_of

_decode: Final = msgspec.json.Decoder(BarValue).decode


class _Held(NamedTuple):
    off: LogPosition
    frame: bytes


class _Watched:
    """An instrument with listeners."""

    __slots__ = ("bars", "listeners")

    def __init__(self) -> None:
        self.bars: dict[int, _Held] = {}
        """The newest `MINUTES_HELD`, keyed by their start in epoch ms."""
        self.listeners: set[Listener] = set()


class Board:
    """Tracks the listeners of each instrument, and passes changes on to them."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._watched: dict[int, _Watched] = {}
        self._reached_ms = 0

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, listener: Listener, instruments: Iterable[int]) -> None:
        """Pass changes of these instruments on to a listener."""
        for instrument_id in instruments:
            self._watched.setdefault(instrument_id, _Watched()).listeners.add(listener)

    def remove(self, listener: Listener, instruments: Iterable[int]) -> None:
        """Pass none of these on any more; forget those without other listeners."""
        for instrument_id in instruments:
            watched = self._watched[instrument_id]
            watched.listeners.remove(listener)
            if not watched.listeners:
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

    def newest(self, instruments: Iterable[int]) -> Iterator[Frame]:
        """Yield the newest bar of those instruments that have any."""
        for instrument_id in instruments:
            bars = self._watched[instrument_id].bars
            if bars:
                minute_ms = max(bars)
                yield instrument_id, minute_ms, bars[minute_ms].frame

    def live(self) -> bytes:
        """Return the event that says that a listener has the newest bars."""
        return live_frame(self._reached_ms)

    def missed(self, bars: Iterable[ChangedBar], since_ms: int) -> Iterator[Frame]:
        """Yield those bars that have a quote of `since_ms` or later."""
        for instrument_id, minute_s, text in bars:
            value = _decode(text)
            if value.ct >= since_ms:
                minute_ms = minute_of(minute_s)
                yield instrument_id, minute_ms, self._frame(instrument_id, minute_ms, value)

    def _is_followed(self, bar: ChangedBar) -> bool:
        watched = self._watched.get(bar.instrument_id)
        return watched is not None and minute_of(bar.minute_s) < max(watched.bars, default=0)

    def _take(self, watched: _Watched, instrument_id: int, minute_ms: int, value: BarValue) -> None:
        held = watched.bars.get(minute_ms)
        if held is not None and value.off <= held.off:
            return
        frame = self._frame(instrument_id, minute_ms, value)
        watched.bars[minute_ms] = _Held(value.off, frame)
        if len(watched.bars) > MINUTES_HELD:
            del watched.bars[min(watched.bars)]
        for listener in watched.listeners:
            listener.offer(instrument_id, minute_ms, frame)

    def _frame(self, instrument_id: int, minute_ms: int, value: BarValue) -> bytes:
        now_ms = self._now_ms()
        # A quote in the future says nothing about the progress of the others.
        self._reached_ms = max(self._reached_ms, min(value.ct, now_ms))
        return bar_frame(instrument_id, minute_ms, value, now_ms, self._reached_ms)
