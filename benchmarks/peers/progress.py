"""The hash in which a peer records its progress, for the benchmark to watch."""

import time
from typing import Final

STARTED_FIELD: Final = "started_ms"
"""when the first record came"""
DONE_FIELD: Final = "done"
"""records that are written"""
FINISHED_FIELD: Final = "written_ms"
"""when the last of them was"""


def progress_key(namespace: str) -> str:
    """Return the hash's key."""
    return f"{namespace}:benchmark"


def report(started_ms: int, done: int) -> list[str | int]:
    """Return the fields and values of the hash when so many records are written at this moment."""
    return [STARTED_FIELD, started_ms, DONE_FIELD, done, FINISHED_FIELD, now_ms()]


def now_ms() -> int:
    """Return the clock, epoch ms."""
    return time.time_ns() // 1_000_000
