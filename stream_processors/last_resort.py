"""Ends a stalled worker if a new one could make progress.

Kubernetes restarts unhealthy processes. Docker Compose and most supervisors restart only those that
ended. While Kafka or the Redis shard is unreachable, a new process could do no more than this one,
which waits and continues by itself; so that is no reason to end.
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
"""Since a partition was first found stalled without a reason."""
_LOOK_EVERY_S: Final = 10.0
_END_WITHIN_S: Final = 20.0
"""To give the partitions back to the group. The cause of the stall may prevent that; the positions
in Redis are right either way."""


class StuckError(RuntimeError):
    """Partitions are stalled, though all servers that they need are reachable."""


class Stuck:
    """Tracks since when each partition has been stalled without a reason."""

    def __init__(self, end_after_s: float = END_AFTER_S) -> None:
        self._end_after_s = end_after_s
        self._since: dict[TP, float] = {}

    def check(self, could_go_on: Iterable[TP], now_s: float) -> None:
        """Note the partitions that are stalled without a reason.

        Raises:
            StuckError: the same one has been stalled for too long.
        """
        self._since = {tp: self._since.get(tp, now_s) for tp in could_go_on}
        stuck = {tp for tp, since_s in self._since.items() if now_s - since_s > self._end_after_s}
        if stuck:
            raise StuckError(
                f"{', '.join(sorted(map(name, stuck)))}: no progress in {self._end_after_s:g} s, "
                "though Kafka and Redis answer: ending, so that a new process is started"
            )


class LastResort(Service):
    """Checks every few seconds."""

    def __init__(self, health: Health, is_reachable: Callable[[], bool], **kwargs: Any) -> None:
        """Take the source of stalled partitions, and a check of the broker by a new client."""
        super().__init__(**kwargs)
        self._health = health
        self._is_reachable = is_reachable
        self._stuck = Stuck()
        # All threads of the event loop may be stuck.
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
    """End the process after a while if it has not ended by itself, e.g. because a thread hangs."""
    end = threading.Timer(_END_WITHIN_S, os._exit, (1,))
    end.daemon = True
    end.start()
