"""A store, a log and workers in one thread, whose every step waits until the test lets it go.

What stands here replaces the servers only: claims, chunks, fencing and agents are the real ones.
A worker that writes or publishes waits for a turn before it happens and for another before it
learns of it; so a test can stop a worker for good in between, or let one that was replaced go on.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

import pytest
import structlog
from hypothesis import strategies as st

from contracts.keyspace import NEXT_FIELD, Keyspace
from contracts.topics import INTERACTIONS, Topic
from runtime.stores import AsyncStore
from stream_processors import sink as sinks
from stream_processors.cooccurrences import agent as cooccurrences
from stream_processors.histories import agent as histories
from stream_processors.positions import Claim
from stream_processors.processing import Partition, Processor
from stream_processors.publisher import Outgoing, Publisher
from stream_processors.sink import FencedError, Sink
from stream_processors.transport import LogBounds

from .records import batch_of
from .simulated_store import Hashes, SimulatedStore, Turns, settled

KEYSPACE = Keyspace("simulated")
_TURNS_AT_MOST: Final = 50_000


Make = Callable[[Claim, Sink, Publisher], Partition]


@dataclass(slots=True)
class World:
    """The servers, and the workers that were started; `sizes` of the batches repeat."""

    sizes: Iterator[int]
    make: dict[Topic, Make]
    logs: dict[tuple[str, int], list[bytes | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    headers: list[dict[str, bytes]] = field(default_factory=list)
    data: Hashes = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, topic: Topic, partition: int) -> int:
        """Start a worker of one partition, whether or not another has it; return its number."""
        worker = len(self.tasks)
        self.tasks.append(asyncio.ensure_future(self._run(topic, partition, worker)))
        return worker

    def crash(self, worker: int) -> None:
        """End a worker where it stands."""
        self.turns.forget(worker)
        self.tasks[worker].cancel()

    async def end(self) -> None:
        """End all workers; raise what one of them failed of."""
        for task in self.tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def is_folded(self, partition: tuple[Topic, int]) -> bool:
        topic, number = partition
        position = self.data.get(KEYSPACE.position(topic, number), {})
        return int(position.get(NEXT_FIELD, 0)) == len(self.logs[topic.name, number])

    async def publish(
        self, worker: int, topic: str, partition: int, value: bytes | None, headers: Any
    ) -> None:
        await self.turns.take(worker)
        self.logs[topic, partition].append(value)
        if headers:
            self.headers.append(dict(headers))
        await self.turns.take(worker)

    async def _run(self, topic: Topic, partition: int, worker: int) -> None:
        sink = Sink(cast("AsyncStore", SimulatedStore(self.data, self.turns, worker)), KEYSPACE)
        publisher = cast("Publisher", SimulatedPublisher(self, worker))
        make = self.make[topic]
        processor = Processor(topic, "simulated", lambda claim: make(claim, sink, publisher))
        log = self.logs[topic.name, partition]
        with contextlib.suppress(FencedError):
            processor.assign(await sink.claim(topic, "id", partition, LogBounds(0, len(log))))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fold(processor, partition, log, worker))
            if topic is not INTERACTIONS:  # histories have nothing to flush
                tasks.create_task(self._flush(processor, worker))

    async def _fold(
        self, processor: Processor, partition: int, log: list[bytes | None], worker: int
    ) -> None:
        while state := processor.partitions.get(partition):
            first = state.next_offset
            values = list(enumerate(log))[first : first + next(self.sizes)]
            if values:
                await processor.process(batch_of(processor.topic.name, partition, values))
            await self.turns.take(worker)

    async def _flush(self, processor: Processor, worker: int) -> None:
        while processor.partitions:
            await processor.flush()
            await self.turns.take(worker)


class SimulatedPublisher:
    """One worker's way to the log."""

    def __init__(self, world: World, worker: int) -> None:
        self._world = world
        self._worker = worker

    async def publish(self, topic: str, partition: int, value: bytes) -> None:
        await self._world.publish(self._worker, topic, partition, value, ())

    async def publish_all(self, topic: str, partition: int, records: Sequence[Outgoing]) -> None:
        for _, value, headers in records:
            await self._world.publish(self._worker, topic, partition, value, headers)


class Disruption(NamedTuple):
    """After so many more turns a partition gets a new worker."""

    turns: int
    partition: int
    crash: bool
    """its last worker ends where it stands; otherwise it goes on, replaced"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a world."""

    sizes: list[int]
    """of batches, again and again"""
    seed: int
    """of whose turn it is"""
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
    """Start a worker for each partition, follow the plan, and let all go on to the end.

    Workers that were replaced are among those that go on.
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
        assert all(map(world.is_folded, partitions)), "the workers do not come to an end"

    asyncio.run(played())


@contextlib.contextmanager
def small_steps() -> Iterator[None]:
    """Make every group a chunk, and rounds and writes of a few rows: more places to stop at."""
    with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs():
        patch.setattr(sinks, "COST_OF_A_MS", 1)
        patch.setattr(histories, "_COST_OF_A_READ", 1)
        patch.setattr(histories, "_ROWS_A_MESSAGE", 4)
        patch.setattr(histories, "_ROWS_A_ROUND", 10)
        patch.setattr(cooccurrences, "_MAX_CHANGES", 6)
        patch.setattr(cooccurrences, "_COUNTS_CACHED", 3)
        yield
