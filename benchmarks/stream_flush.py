"""Writes bars as a worker does: `python -m benchmarks.stream_flush TASK`, see `child`.

It is the workers' own code that writes, a flush of each partition a second, one partition after the
other. What stands before the store, Kafka and the fold, is left out. The close of a bar is the
moment at which it was made here, and `n` is the number of its flush, so a client can tell how old
what it gets is, and what it missed.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from benchmarks.child import await_go, read_task, say
from contracts.keyspace import NEWEST_FIELD, BarValue, Keyspace
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES
from runtime.settings import SharedSettings
from runtime.stores import connect_async
from stream_processors.store.chunks import Commands, Group
from stream_processors.store.claims import Claim, Store

_MINUTE_S: Final = 60
_PRICE: Final = 100.0
_encode: Final = msgspec.json.Encoder().encode


class Flushing(msgspec.Struct, frozen=True):
    """What to write."""

    instruments: int
    """each of which has a bar in every flush"""
    partitions: int
    flushes: int
    """of each partition, one a second"""


class Flushed(msgspec.Struct, frozen=True):
    """What was written, and how punctually."""

    began_s: float
    """epoch"""
    bars: int
    most_late_s: float
    write_s: float
    """mean time that the flush of a partition took"""


class Partition:
    """A partition's bars."""

    def __init__(self, claim: Claim, instruments: list[int]) -> None:
        self.instruments = instruments
        self._claim = claim
        self._prefix = claim.keyspace.bars_prefix(claim.partition)
        self._channel = claim.keyspace.bars_changed(claim.partition)
        self._newest = ""

    async def flush(self, n: int) -> None:
        """Write the bar of each instrument for the n-th time."""
        next_offset = self._claim.next_offset + len(self.instruments)
        await self._claim.write(self._groups(n), next_offset, channel=self._channel)

    def _groups(self, n: int) -> Iterator[Group]:
        minute_s = int(time.time()) // _MINUTE_S * _MINUTE_S
        minute = str(minute_s)
        moved, self._newest = minute != self._newest, minute
        for instrument in self.instruments:
            commands: Commands = ["HSET", 1, 2, NEWEST_FIELD, minute] if moved else []
            value = _value(n)
            commands += ("HSET", 1, 2, minute, value)
            yield Group(f"{self._prefix}{instrument}", commands, [(instrument, minute_s, value)])


def _value(n: int) -> str:
    now_s = time.time()
    ms = int(now_s * 1000)
    bar = BarValue(_PRICE, now_s, _PRICE, now_s, 100.0 * n, n, 100.0 * n * _PRICE, ms, ms, (0, n))
    return _encode(bar).decode()


async def run(task: Flushing) -> Flushed:
    """Claim the partitions, and at the sign write each of them once a second."""
    settings = SharedSettings()
    store = await connect_async(settings.redis_url, "benchmark")
    partitions = await _partitions(Store(store, Keyspace(settings.namespace)), task)
    await_go()
    began_s, most_late_s, writing_s = time.time(), 0.0, 0.0
    for number in range(task.flushes * task.partitions):
        due_s = began_s + number / task.partitions
        await asyncio.sleep(max(0.0, due_s - time.time()))
        started_s = time.time()
        most_late_s = max(most_late_s, started_s - due_s)
        await partitions[number % task.partitions].flush(number // task.partitions + 1)
        writing_s += time.time() - started_s
    await store.aclose()
    bars = task.flushes * task.instruments
    return Flushed(began_s, bars, most_late_s, writing_s / (task.flushes * task.partitions))


async def _partitions(store: Store, task: Flushing) -> list[Partition]:
    instruments: list[list[int]] = [[] for _ in range(task.partitions)]
    for instrument in range(task.instruments):
        instruments[instrument_partition(instrument, task.partitions)].append(instrument)
    return [
        Partition(await _claimed(store, partition), its)
        for partition, its in enumerate(instruments)
    ]


async def _claimed(store: Store, partition: int) -> Claim:
    position = await store.fence(QUOTES, partition, "{}")
    return Claim(
        store, QUOTES, partition, position,
        next_offset=0, incarnation=0, topic_id="benchmark", folding="{}",
    )  # fmt: skip


def main() -> None:
    """Prepare, begin at the sign, say how it went."""
    say(asyncio.run(run(read_task(Flushing))))


if __name__ == "__main__":
    main()
