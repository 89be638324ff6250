"""Folds of a topic, what a claim and a producer do in memory or on a store, and record batches."""

import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, cast

from aiokafka.record._crecords import DefaultRecordBatchBuilder as Builder
from faust.types import TP

from contracts.affinities import binary
from contracts.keyspace import LINEAGE_FIELD, Keyspace
from contracts.messages import Interaction, encode
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import INTERACTIONS, QUOTES, Topic
from runtime.redis.stores import connect_async
from runtime.topology import Topology
from stream_processors.agents import FOLDS
from stream_processors.bars.bars import BarsFold
from stream_processors.cooccurrences.counts import CountsFold
from stream_processors.decoding import changes, instruments, interactions, quotes
from stream_processors.decoding.changes import ChangesRecord
from stream_processors.decoding.instruments import InstrumentRecord
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.interactions import UserEvents
from stream_processors.decoding.placement import Placement
from stream_processors.decoding.quotes import Quotes
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.rules import HistoryRules
from stream_processors.instruments.catalog import CatalogFold
from stream_processors.partition.fold import Fold, Folds
from stream_processors.records import PRODUCERS_STAMP
from stream_processors.store.chunks import Group, Unwritten, each_part, pack
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.contents import Batch, opened, read
from stream_processors.transport.producer import Outgoing, Producer
from tests.stream_processors.simulated_store import Hashes, SimulatedStore, Turns

Headers = Sequence[tuple[str, bytes | None]]


def record(
    offset: int,
    value: bytes | None = b"",
    key: bytes | None = None,
    headers: Headers = (),
    *,
    appended_at: int = PRODUCERS_STAMP,
) -> Batch:
    """Return a Kafka batch of one record."""
    builder = Builder(2, 0, 0, -1, -1, -1, 1 << 24)
    builder.append(0, 0, key, value, list(headers))
    batch = opened(memoryview(builder.build()))
    return batch._replace(base_offset=offset, appended_at=appended_at)


def batch_of(
    topic: str,
    partition: int,
    values: Iterable[tuple[Any, ...]],
    start: int | None = None,
    life: object = None,
) -> RecordBatch:
    """Return a batch of (offset, value, ...), fetched at the first one's offset or at `start`."""
    records = [record(*its) for its in values]
    first = records[0].offset if start is None else start
    end = records[-1].offset + 1 if records else first
    return RecordBatch(TP(topic, partition), life, first, end, read(records, 0)[0])


KEYSPACE = Keyspace("in-memory")
LINEAGE = 7


def index_of(keyspace: Keyspace, topic: Topic, partition: int) -> str:
    index = FOLDS[topic].index
    return index(keyspace, partition) if index else "there is none"


async def groups_of(unwritten: Unwritten) -> list[Group]:
    return [group async for some in each_part(unwritten.groups) for group in some]


@dataclass
class InMemoryClaim:
    """The part of a claim that folds use."""

    data: Hashes
    topic: Topic
    partition: int = 0
    incarnation: int = 0
    lineage: int = LINEAGE
    epoch: str = "1"
    position: dict[str, str] = field(default_factory=dict)
    starts_over: bool = False
    may_miss_records: bool = False
    keyspace: Keyspace = KEYSPACE
    reads: int = 0
    """commands that were read with"""

    async def read(self, questions: Iterable[Group], _enough: int | None = None) -> list[Any]:
        answers = [answer for group in questions for answer in self.execute(group)]
        self.reads += len(answers)
        return answers

    def write(self, groups: Iterable[Group], at_most: int | None = None) -> None:
        """Write all groups, or only the first ones, like a worker that ends there."""
        for group in islice(groups, at_most):
            self.execute(group)

    def execute(self, group: Group) -> list[Any]:
        store = SimulatedStore(self.data, Turns(), 0)
        keys = ["", index_of(KEYSPACE, self.topic, self.partition), group.key]
        answers, _ = store.each(keys, pack([len(group.commands), *group.commands]))
        store.set(group.key, group.fields)
        return answers

    def as_claim(self) -> Claim:
        return cast("Claim", self)


async def flush(fold: Fold[Any], claim: InMemoryClaim) -> Unwritten:
    """Write what a fold has unwritten; return it."""
    unwritten = await fold.unwritten()
    claim.write(await groups_of(unwritten))
    fold.written()
    return unwritten


def store_of(data: Hashes, asked: Callable[[int], None] = lambda _: None) -> Store:
    """A store for counts, which records the positions that they read."""

    class InMemoryStore:
        async def position(self, topic: Topic, partition: int) -> dict[str, str]:
            asked(partition)
            return data.get(KEYSPACE.position(topic, partition), {LINEAGE_FIELD: str(LINEAGE)})

    return cast("Store", InMemoryStore())


@dataclass
class InMemoryProducer:
    """Collects records by topic and partition; if there are turns, it waits for two with each."""

    logs: dict[tuple[str, int], list[Outgoing]] = field(default_factory=lambda: defaultdict(list))
    turns: Turns | None = None
    worker: int = 0

    async def publish(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        await self.publish_all(topic, partition, [Outgoing(key, value, headers)])

    async def publish_all(self, topic: str, partition: int, records: Sequence[Outgoing]) -> None:
        for record in records:
            await self._turn()
            self.logs[topic, partition].append(record)
            await self._turn()

    async def _turn(self) -> None:
        if self.turns is not None:
            await self.turns.take(self.worker)

    def as_producer(self) -> Producer:
        return cast("Producer", self)


@contextlib.asynccontextmanager
async def connected(url: str, namespace: str, **options: Any) -> AsyncIterator[Store]:
    """Yield the store at a URL, as workers use it."""
    client = await connect_async(url, "tests", **options)
    yield Store(client, Keyspace(namespace))
    await client.aclose()


async def claimed(
    store: Store,
    topic: Topic = QUOTES,
    partition: int = 0,
    next_offset: int = 0,
    folding: str = "{}",
) -> Claim:
    """Claim a partition of a topic, and note where it resumes."""
    position = await store.fence(topic, partition, folding)
    claim = Claim(
        store, topic, partition, position,
        next_offset=int(position.get("next", next_offset)), incarnation=0, topic_id="one",
        folding=folding, index=index_of(store.keyspace, topic, partition),
    )  # fmt: skip
    await claim.write(Unwritten(), claim.next_offset)
    return claim


BINARY = HistoryRules(binary, cap=500)
UserEvent = Interaction | Tombstone | None
"""None stands for an invalid record."""


def decoding(decode: Callable[..., Any], partitions: int) -> Callable[..., Any]:
    return partial(decode, placement=Placement(partitions), intake=Intake())


def folds_of_quotes(
    claim: Claim, producer: Any, partitions: int = 1, **changed: Any
) -> Folds[Quotes]:
    """Return bars alone, with some arguments changed."""
    usual = {"retention_minutes": 60, "expire_s": 60, "close_after_s": 10}
    fold = BarsFold(claim, producer, **(usual | changed))
    return Folds(decoding(quotes.decode, partitions), [fold])


def fold_of_interactions(
    claim: Claim,
    producer: Producer,
    topology: Topology,
    rules: HistoryRules,
    clock_s: Callable[[], float] = time.monotonic,
) -> Folds[UserEvents]:
    """Return histories alone, with these rules."""
    histories = HistoriesFold(claim, producer, topology, rules, clock_s)
    return Folds(decoding(interactions.decode, topology.interactions), [histories])


def folds_of_changes(claim: Claim, store: Store) -> Folds[list[ChangesRecord]]:
    return Folds(changes.decode, [CountsFold(claim, store)])


def folds_of_instruments(claim: Claim, partitions: int) -> Folds[list[InstrumentRecord]]:
    return Folds(decoding(instruments.decode, partitions), [CatalogFold(claim)])


def histories_in_memory(
    data: Hashes,
    rules: HistoryRules = BINARY,
    producer: Any = None,
    clock_s: Callable[[], float] = time.monotonic,
) -> tuple[Folds[UserEvents], InMemoryClaim]:
    """Return the fold of a topic's only partition, and its claim on a dict as the store."""
    claim = InMemoryClaim(data, INTERACTIONS)
    its_producer = producer or InMemoryProducer()
    fold = fold_of_interactions(claim.as_claim(), its_producer, Topology(1, 1, 1), rules, clock_s)
    return fold, claim


def batch_of_events(log: Sequence[UserEvent], first: int, end: int) -> RecordBatch:
    """Return the records of a log at the offsets `[first, end)`."""
    values = [(offset, *published(log[offset])) for offset in range(first, min(end, len(log)))]
    return batch_of(INTERACTIONS.name, 0, values, start=first)


def published(event: UserEvent) -> tuple[Any, ...]:
    """Return an event's value; of a removal its key and headers, too."""
    if isinstance(event, Tombstone):
        return None, *encode_tombstone(event)
    return (b"{}" if event is None else encode(event),)
