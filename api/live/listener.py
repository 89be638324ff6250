"""The pending events of one client: only the latest state of each bar.

A client that keeps up gets each bar as often as workers write it. For one that does not, a later
state of a bar replaces an earlier one, and the two newest minutes of each instrument are held: the
current one, and the previous one, so that its final state is not missed. So the memory of a
listener is bounded.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from api.http.metrics import LiveMetrics
from api.http.streams import HEARTBEAT_S
from api.live.frames import HEARTBEAT

MINUTES_HELD: Final = 2

Frame = tuple[int, int, bytes]
"""Instrument, start of the minute in epoch ms, and the event."""


class Listener:
    """One client of the live bars of some instruments."""

    def __init__(self, instruments: frozenset[int], metrics: LiveMetrics) -> None:
        self.instruments = instruments
        self.bars_sent = 0
        self._metrics = metrics
        self._bars: dict[int, dict[int, bytes]] = {}
        self._first = b""
        self._last = b""
        self._live = False
        self._ended = False
        self._something = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Whether it has its snapshot and receives changes."""
        return self._live

    def watch(self, instruments: frozenset[int]) -> None:
        """Receive the bars of these instead; those pending of others are not sent."""
        for instrument_id in self.instruments - instruments:
            self._bars.pop(instrument_id, None)
        self.instruments = instruments

    async def begun(self) -> None:
        """Return once it has its snapshot, or has ended."""
        await self._something.wait()

    def begin(self, snapshot: Iterable[Frame], live: bytes) -> None:
        """Accept the snapshot and the event after it; changes follow from here on.

        Without instruments, there is nothing that the event could be about.
        """
        for instrument_id, minute_ms, frame in snapshot:
            self._bars[instrument_id] = {minute_ms: frame}
        self._last = live if self.instruments else b""
        self._live = True
        self._something.set()

    def catch_up(self, missed: Iterable[Frame]) -> None:
        """Accept bars that it missed before it began, to be sent ahead of all others.

        Bars not older than the pending ones are left out, as the pending ones may be newer.
        """
        oldest = {instrument_id: min(bars) for instrument_id, bars in self._bars.items() if bars}
        frames = [
            frame
            for instrument_id, minute_ms, frame in missed
            if minute_ms < oldest.get(instrument_id, 0)
        ]
        self._metrics.events.inc(len(frames))
        self.bars_sent += len(frames)
        self._first += b"".join(frames)

    def offer(self, instrument_id: int, minute_ms: int, frame: bytes) -> None:
        """Accept a changed bar; before the snapshot it is ignored, as it will be part of that."""
        if not self._live:
            return
        waiting = self._bars.setdefault(instrument_id, {})
        if minute_ms in waiting:
            self._metrics.conflated.inc()
        waiting[minute_ms] = frame
        if len(waiting) > MINUTES_HELD:
            del waiting[min(waiting)]
            self._metrics.conflated.inc()
        self._something.set()

    def interrupt(self, frame: bytes) -> None:
        """Accept the event that says that changes are missed; a new snapshot will follow."""
        if not self._live:
            return
        self._bars.clear()
        self._first, self._last, self._live = self._first + frame, b"", False
        self._something.set()

    def end(self) -> None:
        """End the stream: nothing more is sent."""
        self._ended = True
        self._something.set()

    async def take(self) -> bytes:
        """Return the pending events as soon as there are any, or a heartbeat; empty at the end."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._something.wait()
        except TimeoutError:
            return HEARTBEAT
        self._something.clear()
        if self._ended:
            return b""
        frames = [frame for bars in self._bars.values() for _, frame in sorted(bars.items())]
        self._metrics.events.inc(len(frames))
        self.bars_sent += len(frames)
        said = b"".join((self._first, *frames, self._last))
        self._bars.clear()
        self._first = self._last = b""
        return said or HEARTBEAT  # `watch` may have left nothing
