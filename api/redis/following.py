"""Copies of data in Redis, refreshed periodically in the background.

Callers get the last copy during a refresh, and while Redis is down.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from api.redis.connection import ErrorAnswer
from api.redis.store import StoreUnavailableError
from runtime.topology import TopologyError

BUSY_SHARE: Final = 0.1
"""The maximum share of time spent on a copy that takes long to read."""
_UNREADABLE: Final = (StoreUnavailableError, ErrorAnswer, TopologyError)

_log = logging.getLogger(__name__)

Refresh = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def following(
    what: str, refresh: Refresh, every_s: Callable[[], float]
) -> AsyncIterator[None]:
    """Refresh a copy at once, and then periodically for the block.

    Args:
        what: its name in the log.
        refresh: reads it.
        every_s: returns, after each refresh, the minimum wait before the next one.
    """
    task = asyncio.create_task(_follow(what, refresh, every_s), name=what)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def attempt(what: str, refresh: Refresh) -> None:
    """Try to refresh a copy; log a failure."""
    try:
        await refresh()
    except _UNREADABLE as error:
        _log.debug("%s: keeping the old copy: %s", what, error)
    except Exception:  # noqa: BLE001 (it is retried with newer data)
        _log.exception("%s: keeping the old copy", what)


async def _follow(what: str, refresh: Refresh, every_s: Callable[[], float]) -> None:
    while True:
        started = time.process_time()
        await attempt(what, refresh)
        busy_s = time.process_time() - started
        await asyncio.sleep(max(every_s(), busy_s / BUSY_SHARE))
