"""A partition's claim on a dict as the store, and a list as the log: for tests of folds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from contracts.keyspace import LINEAGE_FIELD, Keyspace
from contracts.topics import Topic
from stream_processors.agents import FOLDS
from stream_processors.partition.fold import Fold
from stream_processors.store.chunks import Group, Unwritten, each_part, pack
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.producer import Outgoing, Producer
from tests.stream_processors.simulated_store import Hashes, SimulatedStore, Turns

KEYSPACE = Keyspace("in-memory")
LINEAGE = 7


def index_of(keyspace: Keyspace, topic: Topic, partition: int) -> str:
    index = FOLDS[topic].index
    return index(keyspace, partition) if index else "there is none"


async def groups_of(unwritten: Unwritten) -> list[Group]:
    """Return all groups to be written."""
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
