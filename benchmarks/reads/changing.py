"""Events that change histories while they are read: as many a second as said, users by Zipf's law.

Each writes an entry and the history's offset, as a worker does, and nothing else of one.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import numpy as np

from benchmarks.harness import zipf
from benchmarks.harness.bulk import Command, write
from benchmarks.reads.data import SEED, by_popularity, noted, user_id
from benchmarks.reads.paths import without_list
from benchmarks.reads.scene import Scene
from contracts.histories import HistoryEntry
from contracts.keyspace import OFFSET_FIELD
from contracts.partitioning import user_partition

_BATCHES_A_SECOND: Final = 20
_DRAWN: Final = 100_000
_ITEMS: Final = 20
"""so few that the histories of the most active users hardly grow"""
_FIRST_OFFSET: Final = 1 << 40
"""beyond those that the histories have"""

_encode = msgspec.json.Encoder().encode


@contextlib.contextmanager
def changing(scene: Scene, events_a_second: int) -> Iterator[None]:
    """Change histories for the block; none at 0 events a second.

    Raises:
        hiredis.ReplyError: the store refused an event.
        OSError: the connection to it broke.
    """
    batch = events_a_second // _BATCHES_A_SECOND
    if not batch:
        yield
        return
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(_write, scene, batch, over)
        try:
            yield
        finally:
            over.set()
            writing.result()


def _write(scene: Scene, batch: int, over: threading.Event) -> None:
    """Write a batch when each is due, those that are late at once."""
    events, started = _events(scene), time.monotonic()
    for number in itertools.count(1):
        due = started + number / _BATCHES_A_SECOND
        if over.wait(max(0, due - time.monotonic())):
            return
        write(scene.store.address, itertools.islice(events, batch))


def _events(scene: Scene) -> Iterator[Command]:
    """Return what changes the histories of users, one after the other."""
    rng, users = np.random.default_rng(SEED), without_list(scene.size)
    drawn = users[zipf.draw(_DRAWN, len(users), rng)].tolist()
    items = rng.choice(by_popularity(scene.size)[:_ITEMS], _DRAWN).tolist()
    changes = zip(itertools.cycle(map(user_id, drawn)), itertools.cycle(items), strict=False)
    for offset, (user, item) in enumerate(changes, _FIRST_OFFSET):
        key = scene.keyspace.history(user_partition(user, noted().interactions), user)
        entry = _encode(HistoryEntry(1.0, time.time_ns() // 1_000_000))
        yield "HSET", key, item, entry, OFFSET_FIELD, f"[0,{offset}]"
