"""A flush that was cut short, as a stopping worker's is: no later one may pass its records."""

import asyncio
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from contracts.changes import Changes, encode_changes
from contracts.keyspace import NEXT_FIELD
from contracts.messages import Quote, encode
from contracts.partitioning import instrument_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES, Topic
from runtime.stores import AsyncStore
from stream_processors.bars.agent import BarPartition
from stream_processors.cooccurrences.agent import CooccurrencePartition
from stream_processors.dead_letters import DeadLetters
from stream_processors.positions import Claim
from stream_processors.publisher import Publisher
from stream_processors.sink import Sink
from stream_processors.transport import LogBounds

from .records import batch_of
from .simulated_store import Hashes, SimulatedStore, Turns, settled
from .simulation import KEYSPACE

LOG = LogBounds(0, 1)
PARTITION = instrument_partition(7, 1)
LETTERS = DeadLetters(cast("Publisher", None))  # none is published here

Make = Callable[[Claim, Sink], BarPartition | CooccurrencePartition]
quote = encode(Quote(instrument_id=7, price=1.0, ts=0))


def bars(claim: Claim, sink: Sink) -> BarPartition:
    return BarPartition(claim, sink, LETTERS, 1, 60)


def counts(claim: Claim, sink: Sink) -> CooccurrencePartition:
    return CooccurrencePartition(claim, sink, LETTERS)


@pytest.mark.parametrize(("topic", "make"), [(QUOTES, bars), (COOCCURRENCES, counts)])
@pytest.mark.parametrize("turns_before", [0, 1, 2])
def test_no_position_passes_what_a_cut_flush_took_from_memory(
    topic: Topic, make: Make, turns_before: int
) -> None:
    data, turns = Hashes(), Turns()

    async def folded() -> None:
        sink = Sink(cast("AsyncStore", SimulatedStore(data, turns, 0)), KEYSPACE)
        source = await turns.until(sink.claim(INTERACTIONS, "id", 0, LOG))
        changes = Changes(0, 0, source.lineage, *map(np.array, ([0], [7], [7])), np.ones(1))
        value = quote if topic is QUOTES else encode_changes(changes)
        partition = make(await turns.until(sink.claim(topic, "id", PARTITION, LOG)), sink)
        await turns.until(partition.process(batch_of(topic.name, PARTITION, [(0, value)])))
        flush = asyncio.ensure_future(partition.flush())
        for _ in range(turns_before):
            await settled()
            turns.give(-1)
        await settled()
        flush.cancel()
        await settled()
        turns.waiting.clear()
        await turns.until(partition.flush())

    asyncio.run(folded())
    assert data[KEYSPACE.position(topic, PARTITION)][NEXT_FIELD] == "0"
