"""Writes bars as a worker does, in a process of its own.

It is the workers' own code that writes, a flush of each partition a second, one partition after the
other. What stands before the store, Kafka and the fold, is left out. The close of a bar is the
moment at which it was made here, and `n` is the number of its flush, so a client can tell how old
what it gets is, and what it missed.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Final

import msgspec

from benchmarks.harness.child import meet
from contracts.keyspace import NEWEST_FIELD, BarValue, Keyspace
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES
from runtime.redis.stores import connect_async
from stream_processors.store.chunks import Group, command
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store

_MINUTE_S: Final = 60
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Flushed:
    """How punctually all was written."""

    most_late_s: float
    write_s: float
    """mean time that the flush of a partition took"""


def flush(
    start: Barrier, url: str, keys: Keyspace, instruments: int, partitions: int, flushes: int
) -> Flushed:
    """Claim the partitions, and then write each of them once a second."""

    async def run() -> Flushed:
        client = await connect_async(url, "benchmark")
        claims = [await claimed(Store(client, keys), partition) for partition in range(partitions)]
        of_each: list[list[int]] = [[] for _ in claims]
        for instrument in range(instruments):
            of_each[instrument_partition(instrument, partitions)].append(instrument)
        newest = [0 for _ in claims]
        meet(start)
        began_s, most_late_s, writing_s = time.time(), 0.0, 0.0
        for number in range(flushes * partitions):
            due_s = began_s + number / partitions
            await asyncio.sleep(max(0.0, due_s - time.time()))
            started_s = time.time()
            most_late_s = max(most_late_s, started_s - due_s)
            n, partition = divmod(number, partitions)
            claim, its = claims[partition], of_each[partition]
            minute_s = int(started_s) // _MINUTE_S * _MINUTE_S
            moved, newest[partition] = minute_s > newest[partition], minute_s
            groups = _groups(keys.bars_prefix(partition), its, minute_s, n + 1, moved=moved)
            channel = keys.bars_changed(partition)
            await claim.write(groups, claim.next_offset + len(its), channel=channel)
            writing_s += time.time() - started_s
        await client.aclose()
        return Flushed(most_late_s, writing_s / (flushes * partitions))

    return asyncio.run(run())


async def claimed(store: Store, partition: int) -> Claim:
    """Return a claim of an empty partition of quotes."""
    position = await store.fence(QUOTES, partition, "{}")
    return Claim(
        store, QUOTES, partition, position,
        next_offset=0, incarnation=0, topic_id="benchmark", folding="{}",
    )  # fmt: skip


def _groups(
    prefix: str, instruments: Sequence[int], minute_s: int, n: int, *, moved: bool
) -> Iterator[Group]:
    """Return the n-th bar of each instrument, as the worker's sink takes it."""
    minute = str(minute_s)
    for instrument in instruments:
        now_s = time.time()
        ms = int(now_s * 1000)
        value = _encode(BarValue(1, now_s, 1, now_s, n, n, n, ms, ms, (0, n))).decode()
        fields = [NEWEST_FIELD, minute, minute, value] if moved else [minute, value]
        changed = (instrument, minute_s, value)
        yield Group(f"{prefix}{instrument}", command("HSET", fields), [changed])
