"""What was fetched for a partition and is not folded yet."""

import asyncio
from collections import deque
from typing import Final

from stream_processors.transport.batches import RecordBatch

# A fetch brings up to 1 MiB per partition; one may wait while another one is folded.
_HUNGRY_BELOW_BYTES: Final = 1 << 19


class Inbox:
    """Batches and failed fetches of the partition's current life, in order."""

    def __init__(self) -> None:
        self.life: object | None = None
        """takes only what was fetched for it; None: takes nothing"""
        self._entries: deque[RecordBatch | Exception] = deque()
        self._bytes = 0
        self._taken_bytes = 0
        self._woken = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._entries)

    @property
    def has_room(self) -> bool:
        """Whether to fetch more."""
        return self._bytes < _HUNGRY_BELOW_BYTES

    @property
    def held_bytes(self) -> int:
        """The size of what waits, and of the entry taken last until the next wait."""
        return self._bytes + self._taken_bytes

    def open(self) -> object:
        """Begin a life, and return it."""
        self.life = object()
        return self.life

    def close(self) -> None:
        """End the life, and drop what it left."""
        self.life = None
        self._entries.clear()
        self._bytes = self._taken_bytes = 0

    def put(self, batch: RecordBatch) -> None:
        """Put a batch in, unless an earlier life had requested it."""
        if batch.life is self.life:
            self._entries.append(batch)
            self._bytes += batch.size_bytes
            self.wake()

    def put_failure(self, life: object, error: Exception) -> None:
        """Put the failure of a fetch in, unless it was an earlier life's."""
        if life is self.life:
            self._entries.append(error)
            self.wake()

    def take(self) -> RecordBatch | Exception:
        """Take the oldest entry out."""
        entry = self._entries.popleft()
        self._taken_bytes = 0 if isinstance(entry, Exception) else entry.size_bytes
        self._bytes -= self._taken_bytes
        return entry

    def wake(self) -> None:
        """End `wait`."""
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Wait until something is put in, for `wake`, or for a timeout."""
        self._taken_bytes = 0
        self._woken.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
