"""What one client has yet to be sent: the latest of each bar, and no more.

A client that keeps up is sent each bar as often as workers write it. For one that does not, a
later state of a bar takes the place of an earlier one, and of each instrument the two newest
minutes are held: the running one, and the one before it, so that its last state is not missed. So
what a listener holds is bounded.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from api.live.frames import HEARTBEAT
from api.live.metrics import LiveMetrics

MINUTES_HELD: Final = 2
HEARTBEAT_S: Final = 15.0

Frame = tuple[int, int, bytes]
"""Instrument, start of the minute in epoch s, and the event."""


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
        """Whether it has its snapshot, and is offered what changes since."""
        return self._live

    async def begun(self) -> None:
        """Return once it has its snapshot, or has ended."""
        await self._something.wait()

    def begin(self, snapshot: Iterable[Frame], live: bytes) -> None:
        """Take the present bars and the event after them; changes come on top from here on."""
        for instrument_id, minute_s, frame in snapshot:
            self._bars[instrument_id] = {minute_s: frame}
        self._last = live
        self._live = True
        self._something.set()

    def catch_up(self, missed: Iterable[Frame]) -> None:
        """Take bars that it missed before it began, to be sent ahead of all others.

        Those that are not older than what waits already are left out: what waits may be newer.
        """
        oldest = {instrument_id: min(bars) for instrument_id, bars in self._bars.items() if bars}
        frames = [
            frame
            for instrument_id, minute_s, frame in missed
            if minute_s < oldest.get(instrument_id, 0)
        ]
        self._metrics.events.inc(len(frames))
        self.bars_sent += len(frames)
        self._first += b"".join(frames)

    def offer(self, instrument_id: int, minute_s: int, frame: bytes) -> None:
        """Take a bar that changed; without a snapshot it is left, as it will be part of that."""
        if not self._live:
            return
        waiting = self._bars.setdefault(instrument_id, {})
        if minute_s in waiting:
            self._metrics.conflated.inc()
        waiting[minute_s] = frame
        if len(waiting) > MINUTES_HELD:
            del waiting[min(waiting)]
            self._metrics.conflated.inc()
        self._something.set()

    def interrupt(self, frame: bytes) -> None:
        """Take the event that tells that changes are missed; a new snapshot will follow."""
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
        """Return what waits, as soon as anything does, or a heartbeat; nothing at the end."""
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
        return said
