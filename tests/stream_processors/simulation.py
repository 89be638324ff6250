"""A store, a log and workers in one thread, whose every step waits for the test.

Only the servers are replaced: claims, chunks, fencing, partitions' lives and folds are the real
ones. A worker that writes or publishes waits for a turn before the effect, and for another before
the reply; so a test can stop a worker forever in between, or let a replaced one continue.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

import pytest
import structlog
from faust.types import TP
from hypothesis import strategies as st

from contracts.keyspace import NEXT_FIELD
from contracts.topics import STREAMED, Topic, dead_letters
from runtime.redis.stores import AsyncStore
from stream_processors.agents import FOLDS
from stream_processors.bars import bars
from stream_processors.bars import table as bars_table
from stream_processors.cooccurrences import counts
from stream_processors.cooccurrences import stored as counts_stored
from stream_processors.cooccurrences import table as counts_table
from stream_processors.decoding import placement
from stream_processors.histories import histories
from stream_processors.instruments import catalog
from stream_processors.partition import life
from stream_processors.partition.dead_letters import DeadLetters
from stream_processors.partition.fold import Fold
from stream_processors.partition.life import Partition
from stream_processors.partition.rules import Rules
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.consumer_thread import PartitionReader
from stream_processors.transport.log import Log, LogBounds, TopicRecreatedError
from stream_processors.transport.producer import Outgoing, Producer
from stream_processors.trending import trending

from .folding import KEYSPACE, InMemoryProducer, batch_of
from .simulated_store import Hashes, SimulatedStore, Turns, settled

_TURNS_AT_MOST: Final = 50_000
_FLUSH_EVERY: Final = 3

Make = Callable[[Claim, Store, Producer], Fold]


@dataclass(slots=True)
class World:
    """The servers, and the started workers; the batches' `sizes` repeat."""

    sizes: Iterator[int]
    make: dict[Topic, Make]
    logs: dict[tuple[str, int], list[Outgoing]] = field(default_factory=lambda: defaultdict(list))
    earliest: dict[tuple[str, int], int] = field(default_factory=dict)
    """offset of the first record in a log, if it was cut"""
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    """what a broker that is behind says of a log's end"""
    topic_id: str = "one"
    look: Callable[[Hashes], None] = lambda _: None
    """at the store, after each script"""
    data: Hashes = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, topic: Topic, partition: int) -> int:
        """Start a worker of one partition, even if another one has it; return its number."""
        worker = len(self.tasks)
        self.tasks.append(asyncio.ensure_future(Stepped(self, topic, partition, worker).run()))
        return worker

    def crash(self, worker: int) -> None:
        self.turns.forget(worker)
        self.tasks[worker].cancel()

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def is_folded(self, partition: tuple[Topic, int]) -> bool:
        topic, number = partition
        position = self.data.get(KEYSPACE.position(topic, number), {})
        return int(position.get(NEXT_FIELD, 0)) == len(self.logs[topic.name, number])

    def log_of(self, topic: Topic, partition: int, *values: bytes | None) -> None:
        """Append records without a key."""
        self.logs[topic.name, partition] += [Outgoing(None, value, ()) for value in values]

    def dead_letters(self) -> list[dict[str, bytes]]:
        """Return the headers of all."""
        topics = {dead_letters(topic).name for topic in STREAMED}
        return [
            dict(r.headers) for (name, _), log in self.logs.items() if name in topics for r in log
        ]


class Stepped(Partition):
    """A partition that takes its next batch, and flushes, when it gets a turn."""

    def __init__(self, world: World, topic: Topic, partition: int, worker: int) -> None:
        producer = InMemoryProducer(world.logs, world.turns, worker).as_producer()
        client = SimulatedStore(world.data, world.turns, worker, world.look)
        store = Store(cast("AsyncStore", client), KEYSPACE)
        store.chunk_cost = 1
        index = FOLDS[topic].index
        rules = Rules(
            topic,
            1,
            _FLUSH_EVERY,
            1.0,
            lambda claim: world.make[topic](claim, store, producer),
            index=index and partial(index, KEYSPACE),
        )
        self._world = world
        self._worker = worker
        self._read = 0
        self._passed = 0
        super().__init__(
            rules,
            partition,
            store=store,
            log=cast("Log", SimulatedLog(world)),
            reader=cast("PartitionReader", self),
            dead_letters=DeadLetters(producer, TP(topic.name, partition)),
            clock_s=lambda: self._passed,
        )

    async def seek(self, offset: int, _life: object) -> None:
        self._read = offset

    async def epoch_end(self, _epoch: int) -> int | None:
        return None

    async def is_ours(self) -> bool:
        return False

    async def _wait(self, seconds: float) -> None:
        self._passed += 1
        await self._world.turns.take(self._worker)
        log = self._world.logs[self.tp.topic, self.tp.partition]
        some = list(enumerate(log))[self._read : self._read + next(self._world.sizes)]
        if some:
            self._read = some[-1][0] + 1
            records = [(offset, its.value, its.key, its.headers) for offset, its in some]
            self.inbox.put(batch_of(*self.tp, records, life=self.inbox.life))


class SimulatedLog:
    """The broker's metadata of the logs."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def bounds(self, topic: str, partition: int) -> LogBounds:
        place, world = (topic, partition), self._world
        end = world.ends.get(place, len(world.logs[place]))
        return LogBounds(world.topic_id, world.earliest.get(place, 0), end)

    async def record(self, topic: str, partition: int, offset: int) -> tuple[Any, Any]:
        return self._world.logs[topic, partition][offset][:2]

    async def check(self, topic: str, topic_id: str) -> None:
        if topic_id != self._world.topic_id:
            raise TopicRecreatedError(f"{topic} is {self._world.topic_id}, was {topic_id}")


class Disruption(NamedTuple):
    """After some more turns a partition gets a new worker."""

    turns: int
    partition: int
    crash: bool
    """its last worker is killed; otherwise it continues, replaced"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a world."""

    sizes: list[int]
    """of batches, repeated"""
    seed: int
    """of turns"""
    disruptions: list[Disruption]


plans = st.builds(
    Plan,
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    disruptions=st.lists(
        st.builds(Disruption, st.integers(1, 40), st.integers(0, 3), st.booleans()), max_size=8
    ),
)


def play(world: World, partitions: list[tuple[Topic, int]], plan: Plan) -> None:
    """Start a worker for each partition, follow the plan, and let all run to the end.

    Replaced workers keep running, too.
    """
    chance = random.Random(plan.seed)

    async def turn() -> bool:
        """Return whether there is more to do."""
        await settled()
        if not world.turns.waiting or all(map(world.is_folded, partitions)):
            return False
        world.turns.give(chance.randrange(len(world.turns.waiting)))
        return True

    async def played() -> None:
        last = {place: world.start(*each) for place, each in enumerate(partitions)}
        for disruption in plan.disruptions:
            for _ in range(disruption.turns):
                await turn()
            place = disruption.partition % len(partitions)
            if disruption.crash:
                world.crash(last[place])
            last[place] = world.start(*partitions[place])
        for _ in range(_TURNS_AT_MOST):
            if not await turn():
                break
        await world.end()
        assert all(map(world.is_folded, partitions)), "the workers do not finish"

    asyncio.run(played())


_BOUNDS: Final[Sequence[tuple[ModuleType, str, object]]] = (
    (bars, "_MAX_CHANGED", 1),
    (bars, "_OPEN_AT_ONCE", 1),
    (bars_table, "_EVICT_AT_LEAST", 1),
    (bars_table, "_CACHED_MINUTES", 1),
    (bars_table, "_HOUR_MINUTES", 2),
    (bars_table, "_INSTRUMENTS_AT_MOST", 2),
    (histories, "MESSAGE_BYTES", 0),
    (histories, "_ROWS_UNPUBLISHED", 10),
    (histories, "_ITEMS_CACHED", 40),
    (histories, "_RECORDS_AT_ONCE", range(1, 4)),
    (counts, "_RECORDS_AT_ONCE", 2),
    (counts, "_ROWS_SUMMED", 5),
    (counts, "_COUNTS_UNWRITTEN", 6),
    (counts, "_PAIRS_UNWRITTEN", 7),
    (counts, "_CHANGES_AT_ONCE", 3),
    (counts, "_COUNTS_CACHED", 3),
    (counts_stored, "_COUNTS_AT_ONCE", 2),
    (counts_table, "_ITEMS_AT_MOST", 2),
    (placement, "_ITEMS_AT_MOST", 2),
    (trending, "_MAX_KNOWN", 3),
    (catalog, "_MARKS_CACHED", 1),
)


@contextlib.contextmanager
def small_steps() -> Iterator[None]:
    """Disable waits and logging; more points to stop at: every bound is at a few rows."""
    with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs():
        patch.setattr(life, "_RESTART_AFTER_S", 0)
        for module, name, bound in _BOUNDS:
            patch.setattr(module, name, bound)
        yield
