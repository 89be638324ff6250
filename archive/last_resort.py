"""Ends a process whose loop stands still, so that whatever started it starts a new one.

Kubernetes restarts what is unhealthy, Docker Compose only what has ended.

A loop that waits for a server goes on, and says so: it is not ended. One that stands still is in a
call that does not return, and no other thread can end that call.
"""

import os
import threading
import time
from typing import Final

import structlog

from archive.state import State

END_AFTER_S: Final = 180.0
"""Since it was first found unhealthy."""
_LOOK_EVERY_S: Final = 10.0

log = structlog.get_logger(__name__)


def watch(
    state: State, end_after_s: float = END_AFTER_S, look_every_s: float = _LOOK_EVERY_S
) -> None:
    """Look from now on, in a thread; end the process with 1 when it has been stalled for too long.

    Kafka still has what is not committed.
    """

    def look() -> None:
        stalled_s = 0.0
        while stalled_s <= end_after_s:
            time.sleep(look_every_s)
            stalled_s = stalled_s + look_every_s if state.is_stalled else 0.0
        log.error("the loop stands still: ending, so that a new process is started")
        os._exit(1)

    threading.Thread(target=look, name="last resort", daemon=True).start()
