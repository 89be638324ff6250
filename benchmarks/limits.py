"""Upper bounds of `bars`: each step of the worker alone, on the same quotes, in this process.

Hypothesis: the worker's cost is the sum of its steps, and the largest of them is the fetch.

Work: the log of `bars`. `librdkafka` and `aiokafka` fetch all of it and do nothing with it; `runs`
is aiokafka handing on Kafka's batches whole, as the worker has it; `decode` turns the values into
columns, a fetch at a time; `fold` adds the columns to a table of bars; `worker` is the worker's own
code from a fetched batch to Redis, without Faust and Kafka: it decodes, folds, reads what it does
not have, and writes. No baseline: these are ceilings.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Place
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from faust.types import TP

from benchmarks.bars import make_quotes
from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.publish import publish, record
from benchmarks.harness.report import alone
from benchmarks.harness.rounds import Run
from benchmarks.harness.stage import Stage
from benchmarks.harness.timing import timed
from benchmarks.stream.writer import claimed
from contracts.messages import QuoteColumns, decode_quotes
from contracts.topics import QUOTES
from runtime.kafka.config import plain
from runtime.redis.stores import connect_async
from stream_processors.bars.bars import BarsFold
from stream_processors.bars.fold import BAR
from stream_processors.bars.table import NO_MINUTE, BarTable
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.fetched import Fetched, FetchFailure
from stream_processors.transport.producer import Producer

_RETENTION_MINUTES: Final = 60
_RENEW_AFTER_S: Final = 86_400.0
_FLUSH_EVERY_S: Final = 1.0
_EXPIRE_S: Final = 604_800
_CLOSE_AFTER_S: Final = 10.0
_MAX_FETCH_BYTES: Final = 1 << 20
"""As the worker's."""
_RECORDS_A_CALL: Final = 10_000
_FETCH_WITHIN_S: Final = 20


def limits(
    rounds: session.Rounds = 5,
    quotes: session.Quotes = 1_000_000,
    instruments: session.Instruments = 50_000,
    *,
    json: session.Json = False,
) -> None:
    """Each step of `bars` alone: what bounds the worker."""
    with session.on_stage() as stage:
        stage.namespace()
        publish(stage.broker.address, QUOTES.name, map(record, make_quotes(quotes, instruments)))
        runs: dict[str, list[Run]] = defaultdict(list)
        for number in range(rounds):
            for name, run in asyncio.run(_steps(stage, quotes)).items():
                runs[name].append(run)
                session.say(number, name, run)
        work = f"{quotes:,} JSON quotes of {instruments:,} instruments, one step alone"
        session.present(alone("limits", work, "quotes/s", runs, stage.servers), json=json)


async def _steps(stage: Stage, n: int) -> dict[str, Run]:
    """Run each step once on the log of n quotes, in the data's order."""
    runs: dict[str, Run] = {}
    step = partial(timed, runs, records=n, pids={"worker": os.getpid(), **stage.pids})
    address, namespace = stage.broker.address, stage.namespace()
    tps = [TP(QUOTES.name, partition) for partition in range(namespace.topology.quotes)]
    consumer = _librdkafka(address, tps)
    with step("librdkafka"):
        _consume(consumer, n)
    consumer.close()
    # Before what keeps records: looking for cycles among them would cost it half of its rate.
    fetching = await _aiokafka(address, tps)
    with step("runs"):
        await _fetch_runs(fetching, tps, n)
    await fetching.stop()
    fetching = await _aiokafka(address, tps)
    with step("aiokafka"):
        batches = await _fetch(fetching, n)
    await fetching.stop()
    with step("decode"):
        columns = [decode_quotes(batch.values(), batch.clock_ms())[0] for batch in batches]
    with step("fold"):
        _fold(batches, columns)
    client = await connect_async(stage.store.address, "tickrec-benchmarks")
    claims = [await claimed(Store(client, namespace.keys), tp.partition) for tp in tps]
    with step("worker"):
        await _take_all(claims, Producer(plain(address)), batches)
    await client.aclose()
    return runs


def _librdkafka(bootstrap_servers: str, tps: Sequence[TP]) -> Consumer:
    """Return a consumer that has found its brokers."""
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
    consumer.list_topics(QUOTES.name, timeout=_FETCH_WITHIN_S)
    consumer.assign([TopicPartition(*tp, OFFSET_BEGINNING) for tp in tps])
    return consumer


def _consume(consumer: Consumer, n: int) -> None:
    left = n
    while left:
        some = consumer.consume(min(_RECORDS_A_CALL, left), timeout=_FETCH_WITHIN_S)
        left -= _came(len(some))


async def _aiokafka(bootstrap_servers: str, tps: Sequence[TP]) -> AIOKafkaConsumer:
    """Return a consumer that has found its brokers and may begin to fetch."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        max_partition_fetch_bytes=_MAX_FETCH_BYTES,
    )
    await consumer.start()
    places = [Place(*tp) for tp in tps]
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    return consumer


async def _fetch(consumer: AIOKafkaConsumer, n: int) -> list[RecordBatch]:
    """Return what each fetch brought for a partition."""
    batches: list[RecordBatch] = []
    while n:
        fetched = await consumer.getmany(timeout_ms=_FETCH_WITHIN_S * 1000)
        for tp, some in fetched.items():
            batches.append(RecordBatch(TP(*tp), None, some[0].offset, some[-1].offset + 1, some))
        n -= _came(sum(map(len, fetched.values())))
    return batches


async def _fetch_runs(consumer: AIOKafkaConsumer, tps: Sequence[TP], n: int) -> None:
    fetched = Fetched(consumer._fetcher)  # noqa: SLF001 (as the worker's transport does)
    for tp in tps:
        fetched.seek(tp, 0, "benchmark")
    while n:
        taken = await fetched.take(tps, _FETCH_WITHIN_S)
        for one in taken:
            if isinstance(one, FetchFailure):
                raise one.error
        n -= _came(sum(len(one) for one in taken if isinstance(one, RecordBatch)))


def _came(some: int) -> int:
    if not some:
        raise ContenderError(f"no quotes came for {_FETCH_WITHIN_S} s")
    return some


def _fold(batches: Sequence[RecordBatch], columns: Sequence[QuoteColumns]) -> None:
    """Fold into one table a partition; there is nothing in Redis to be read."""
    tables: dict[TP, BarTable] = defaultdict(lambda: BarTable(_RETENTION_MINUTES, _RENEW_AFTER_S))
    nothing = np.empty(0, BAR)
    for batch, its in zip(batches, columns, strict=True):
        table = tables[batch.tp]
        keys = table.keys(its.instrument_id, its.ts_ms)
        missing = table.missing(keys)
        table.insert(missing, [NO_MINUTE] * len(missing), nothing)
        table.add(keys, its.price, its.size, its.ts_ms, batch.offsets())


async def _take_all(
    claims: Sequence[Claim], producer: Producer, batches: Sequence[RecordBatch]
) -> None:
    """Fold all, with a flush a second and one at the end, as the worker does.

    All quotes are of one minute, which stays open: nothing is published.

    Raises:
        ContenderError: a quote was rejected, though each is good and in its partition.
    """
    folds = [
        BarsFold(
            claim,
            producer,
            partitions=len(claims),
            retention_minutes=_RETENTION_MINUTES,
            expire_s=_EXPIRE_S,
            close_after_s=_CLOSE_AFTER_S,
        )
        for claim in claims
    ]
    ends: dict[int, int] = {}
    flushed = time.perf_counter()
    for place, batch in enumerate(batches, start=1):
        if await folds[batch.tp.partition].take(batch):
            raise ContenderError(f"quotes of {batch.tp} were rejected")
        ends[batch.tp.partition] = batch.end
        if time.perf_counter() - flushed > _FLUSH_EVERY_S or place == len(batches):
            for partition, end in ends.items():
                unwritten = await folds[partition].unwritten()
                await claims[partition].write(unwritten.groups, end, channel=unwritten.channel)
                folds[partition].written()
            flushed = time.perf_counter()
