"""What bounds `bars`: each step of the worker alone, on the same quotes, in this process.

Hypothesis: what the worker costs is the sum of its steps, and the greatest of them is the fetch.

Work: the log of `bars`. `librdkafka` and `aiokafka` fetch all of it and do nothing with it; `runs`
is aiokafka handing on Kafka's batches whole, as the worker has it; `decode` turns the values into
columns, a fetch at a time; `fold` adds the columns to a table of bars; `worker` is the worker's own
code from a fetched batch to Redis, without Faust and Kafka: it decodes, folds, reads what it lacks
and writes. No baseline: these are ceilings.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import OFFSET_BEGINNING, Consumer
from confluent_kafka import TopicPartition as ConfluentPartition
from faust.types import TP

from benchmarks.cpu import read_clock, spent
from benchmarks.rounds import Run
from benchmarks.stage import ContenderError, Stage
from contracts.keyspace import Keyspace
from contracts.messages import QuoteColumns, decode_quotes
from contracts.topics import QUOTES
from runtime.stores import AsyncStore, connect_async
from stream_processors.bars.bars import BarsFold
from stream_processors.bars.fold import BAR
from stream_processors.bars.table import NO_MINUTE, BarTable
from stream_processors.store.claims import Claim, Store
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.fetched import Fetched, FetchFailure

Measured = TypeVar("Measured")

_RETENTION_MINUTES: Final = 60
_FLUSH_EVERY_S: Final = 1.0
_EXPIRE_S: Final = 604_800
_MAX_FETCH_BYTES: Final = 1 << 20
"""As the worker's."""
_RECORDS_A_CALL: Final = 10_000
_FETCH_WITHIN_S: Final = 20


def measure(stage: Stage, partitions: int, records: int) -> Iterator[tuple[str, Run]]:
    """Run each step once on the log of quotes; yield their names and runs, in the data's order."""
    this = {"worker": os.getpid(), **stage.pids}
    address = stage.broker.address

    def timed(step: Callable[[], Measured]) -> tuple[Run, Measured]:
        before, began = read_clock(this), time.perf_counter()
        made = step()
        seconds, after = time.perf_counter() - began, read_clock(this)
        return Run(records, seconds, spent(before, after)), made

    with _consumer(address, partitions) as consumer:
        yield "librdkafka", timed(lambda: _consume(consumer, records))[0]
    with asyncio.Runner() as runner:
        # Before what keeps records: looking for cycles among them would cost it half of its rate.
        fetching = runner.run(_fetching(address, partitions))
        yield "runs", timed(lambda: runner.run(_fetch_runs(fetching, partitions, records)))[0]
        runner.run(fetching.stop())
        fetching = runner.run(_fetching(address, partitions))
        run, batches = timed(lambda: runner.run(_fetch(fetching, records)))
        runner.run(fetching.stop())
        yield "aiokafka", run
        run, columns = timed(lambda: [decode_quotes(b.values(), b.clock_ms())[0] for b in batches])
        yield "decode", run
        yield "fold", timed(lambda: _fold(batches, columns))[0]
        stage.client.flushall()
        parts = runner.run(_parts(stage, partitions))
        yield "worker", timed(lambda: runner.run(_take_all(parts, batches)))[0]
        runner.run(parts.client.aclose())


@contextlib.contextmanager
def _consumer(bootstrap_servers: str, partitions: int) -> Iterator[Consumer]:
    """Open a consumer that has found its brokers."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench-limits",
            "enable.auto.commit": False,
            "max.partition.fetch.bytes": _MAX_FETCH_BYTES,
            # With a full queue it would rest for a second.
            "fetch.queue.backoff.ms": 1,
        }
    )
    try:
        consumer.list_topics(QUOTES.name, timeout=_FETCH_WITHIN_S)
        consumer.assign(
            [ConfluentPartition(QUOTES.name, p, OFFSET_BEGINNING) for p in range(partitions)]
        )
        yield consumer
    finally:
        consumer.close()


def _consume(consumer: Consumer, records: int) -> None:
    got = 0
    while got < records:
        some = consumer.consume(min(_RECORDS_A_CALL, records - got), timeout=_FETCH_WITHIN_S)
        got += _came(len(some), got, records)


async def _fetching(bootstrap_servers: str, partitions: int) -> AIOKafkaConsumer:
    """Return a consumer that has found its brokers and may begin to fetch."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        max_partition_fetch_bytes=_MAX_FETCH_BYTES,
    )
    await consumer.start()
    tps = [TopicPartition(QUOTES.name, p) for p in range(partitions)]
    consumer.assign(tps)
    await consumer.seek_to_beginning(*tps)
    return consumer


async def _fetch(consumer: AIOKafkaConsumer, records: int) -> list[RecordBatch]:
    """Return what each fetch brought for a partition."""
    batches: list[RecordBatch] = []
    got = 0
    while got < records:
        fetched = await consumer.getmany(timeout_ms=_FETCH_WITHIN_S * 1000)
        batches += [
            RecordBatch(TP(*tp), None, some[0].offset, some[-1].offset + 1, some)
            for tp, some in fetched.items()
        ]
        got += _came(sum(map(len, fetched.values())), got, records)
    return batches


async def _fetch_runs(consumer: AIOKafkaConsumer, partitions: int, records: int) -> None:
    fetched = Fetched(consumer._fetcher)  # noqa: SLF001 (as the worker's transport does)
    tps = [TP(QUOTES.name, p) for p in range(partitions)]
    for tp in tps:
        fetched.seek(tp, 0, "benchmark")
    got = 0
    while got < records:
        taken = await fetched.take(tps, _FETCH_WITHIN_S)
        failures = [one.error for one in taken if isinstance(one, FetchFailure)]
        if failures:
            raise failures[0]
        got += _came(sum(len(one) for one in taken if isinstance(one, RecordBatch)), got, records)


def _came(some: int, got: int, records: int) -> int:
    """Return how many came.

    Raises:
        ContenderError: none did, within the time for it.
    """
    if not some:
        raise ContenderError(f"{got} of {records} quotes came, then none for {_FETCH_WITHIN_S} s")
    return some


def _fold(batches: Sequence[RecordBatch], columns: Sequence[QuoteColumns]) -> None:
    """Fold into one table a partition; there is nothing in Redis to be read."""
    tables = {b.tp.partition: BarTable(_RETENTION_MINUTES) for b in batches}
    nothing = np.empty(0, BAR)
    for batch, its in zip(batches, columns, strict=True):
        table = tables[batch.tp.partition]
        keys = table.keys(its.instrument_id, its.ts_ms)
        missing = table.missing(keys)
        table.insert(missing, [NO_MINUTE] * len(missing), nothing)
        table.add(keys, its.price, its.size, its.ts_ms, batch.offsets())


class _Parts(NamedTuple):
    """The worker's partitions of quotes, without Faust and Kafka."""

    client: AsyncStore
    of: dict[int, tuple[Claim, BarsFold]]


async def _parts(stage: Stage, partitions: int) -> _Parts:
    client = await connect_async(stage.store.address, "tickrec-benchmarks")
    store = Store(client, Keyspace("bench-limits"))
    of = {}
    for partition in range(partitions):
        position = await store.fence(QUOTES, partition, "{}")
        claim = Claim(
            store, QUOTES, partition, position,
            next_offset=0, incarnation=0, topic_id="bench", folding="{}",
        )  # fmt: skip
        fold = BarsFold(
            claim, partitions=partitions, retention_minutes=_RETENTION_MINUTES, expire_s=_EXPIRE_S
        )
        of[partition] = claim, fold
    return _Parts(client, of)


async def _take_all(parts: _Parts, batches: Sequence[RecordBatch]) -> None:
    """Fold all, with a flush a second and one at the end, as the worker does.

    Raises:
        ContenderError: a quote was rejected, though each is good and in its partition.
    """
    ends: dict[int, int] = {}
    flushed = time.perf_counter()
    for batch in batches:
        partition = batch.tp.partition
        if await parts.of[partition][1].take(batch):
            raise ContenderError(f"quotes of {batch.tp} were rejected")
        ends[partition] = batch.end
        if time.perf_counter() - flushed > _FLUSH_EVERY_S:
            await _flush(parts, ends)
            flushed = time.perf_counter()
    await _flush(parts, ends)


async def _flush(parts: _Parts, ends: dict[int, int]) -> None:
    for partition, end in ends.items():
        claim, fold = parts.of[partition]
        unwritten = await fold.unwritten()
        await claim.write(unwritten.groups, end, channel=unwritten.channel)
        fold.written()
