"""What this process keeps a copy of: read from Redis again and again, in the background.

Whoever asks meanwhile gets the copy as it was, also while Redis is away.
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
"""Of the time, at most, that is spent on a copy which takes long to read."""
_UNREADABLE: Final = (StoreUnavailableError, ErrorAnswer, TopologyError)

_log = logging.getLogger(__name__)

Refresh = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def following(
    what: str, refresh: Refresh, every_s: Callable[[], float]
) -> AsyncIterator[None]:
    """Refresh a copy at once, and again and again for the block.

    Args:
        what: its name in the log.
        refresh: reads it.
        every_s: returns, after each time, how long to wait for the next one at least.
    """
    task = asyncio.create_task(_follow(what, refresh, every_s), name=what)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def attempt(what: str, refresh: Refresh) -> None:
    """Refresh a copy if that can be done; log why it can't."""
    try:
        await refresh()
    except _UNREADABLE as error:
        _log.debug("%s: the copy stays as it was: %s", what, error)
    except Exception:  # noqa: BLE001 (it is tried again, with what is there then)
        _log.exception("%s: the copy stays as it was", what)


async def _follow(what: str, refresh: Refresh, every_s: Callable[[], float]) -> None:
    while True:
        started = time.process_time()
        await attempt(what, refresh)
        busy_s = time.process_time() - started
        await asyncio.sleep(max(every_s(), busy_s / BUSY_SHARE))
