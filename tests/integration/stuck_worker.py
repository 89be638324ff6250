"""A worker that claims nothing, as each claim hangs in a thread, and therefore soon ends."""

import asyncio
import threading
from functools import partial
from typing import Any

from stream_processors import health, last_resort
from stream_processors.__main__ import main
from stream_processors.partition.life import Partition


async def _hang(_: Partition, **__: Any) -> None:
    await asyncio.to_thread(threading.Event().wait)


if __name__ == "__main__":
    Partition._begin = _hang
    health.STALLED_AFTER_S = 1.0
    last_resort.Stuck = partial(last_resort.Stuck, 1.0)
    last_resort._LOOK_EVERY_S = 0.5
    last_resort._END_WITHIN_S = 5.0
    main()
