"""Ends a worker that does not get on though a new one could.

Kubernetes restarts what is unhealthy. Docker Compose and most supervisors restart only what has
ended. While Kafka or the shard of Redis is away a new process could do no more than this one, which
waits and goes on by itself, so that ends nothing.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from faust.types import TP
from mode import Service

from stream_processors.health import Health, name

log = structlog.get_logger()

END_AFTER_S: Final = 180.0
"""Since a partition was first found that does not get on though it could."""
_LOOK_EVERY_S: Final = 10.0
_END_WITHIN_S: Final = 20.0
"""To give the partitions back to the group. What keeps one from going on may keep that from
happening, and the positions in Redis are right whatever the end is."""


class StuckError(RuntimeError):
    """Some partitions do not get on, and nothing that they need is away."""


class Stuck:
    """Remembers since when each partition could have gone on and has not."""

    def __init__(self, end_after_s: float = END_AFTER_S) -> None:
        self._end_after_s = end_after_s
        self._since: dict[TP, float] = {}

    def check(self, could_go_on: Iterable[TP], now_s: float) -> None:
        """Take note of the partitions that do not get on now and could.

        Raises:
            StuckError: the same one has been found each time for too long.
        """
        self._since = {tp: self._since.get(tp, now_s) for tp in could_go_on}
        stuck = {tp for tp, since_s in self._since.items() if now_s - since_s > self._end_after_s}
        if stuck:
            raise StuckError(
                f"{', '.join(sorted(map(name, stuck)))}: no progress in {self._end_after_s:g} s, "
                "though Kafka and Redis answer: ending, so that a new process is started"
            )


class LastResort(Service):
    """Looks every few seconds."""

    def __init__(self, health: Health, is_reachable: Callable[[], bool], **kwargs: Any) -> None:
        """Take which partitions are stalled, and how to ask if a new client reaches the broker."""
        super().__init__(**kwargs)
        self._health = health
        self._is_reachable = is_reachable
        self._stuck = Stuck()
        # All of the loop's own threads may be stuck.
        self._thread = ThreadPoolExecutor(1)

    @Service.task
    async def _look(self) -> None:
        while not self.should_stop:
            could = await self._health.could_go_on(self._health.stalled(), self._reaches)
            try:
                self._stuck.check(could, time.monotonic())
            except StuckError as stuck:
                log.error("this worker is stuck", why=str(stuck))  # noqa: TRY400 (the message says it all)
                _end_at_last()
                raise
            await self.sleep(_LOOK_EVERY_S)

    async def _reaches(self) -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._is_reachable)


def _end_at_last() -> None:
    """End the process in a while, if it has not ended by itself, as when a thread of it hangs."""
    end = threading.Timer(_END_WITHIN_S, os._exit, (1,))
    end.daemon = True
    end.start()
