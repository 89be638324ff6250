"""Histories on a real store and broker, where one of them does what nobody waits for."""

import asyncio

import pytest

from contracts.keyspace import Keyspace
from contracts.messages import Interaction, encode
from contracts.partitioning import user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.stores import connect_async
from runtime.topology import Topology
from stream_processors.dead_letters import DeadLetters
from stream_processors.histories.affinities import binary
from stream_processors.histories.agent import HistoryPartition
from stream_processors.publisher import Publisher
from stream_processors.sink import FencedError, Sink, StoreLostError
from stream_processors.transport import LogBounds
from tests.integration.conftest import log_ends

from .records import batch_of

pytestmark = pytest.mark.integration

USER = "ABC"
CAP = 500


@pytest.mark.parametrize("what", ["lost everything", "was given to another worker"])
async def test_nothing_is_published_from_histories_that_are_no_longer_this_workers(
    broker: str, store_url: str, namespace: str, topology: Topology, what: str
) -> None:
    """The changes would follow from the wrong histories, and keep the right ones out."""
    partition = user_partition(USER, topology.interactions)
    store = await connect_async(store_url, "tests")
    publisher = Publisher(broker)
    await publisher.start()
    try:
        sink = Sink(store, Keyspace(namespace))
        claim = await sink.claim(INTERACTIONS, "an id", partition, LogBounds(0, 2))
        histories = HistoryPartition(
            claim, sink, publisher, DeadLetters(publisher), topology, binary, CAP
        )
        if what == "lost everything":
            await store.delete(sink.keyspace.position(INTERACTIONS, partition))
        else:
            await sink.claim(INTERACTIONS, "an id", partition, LogBounds(0, 2))
        event = encode(Interaction(user_id=USER, instrument_id=4, ts=1_700_000_000_000))
        with pytest.raises((StoreLostError, FencedError)):
            await histories.process(batch_of(INTERACTIONS.name, partition, [(0, event)]))
    finally:
        await publisher.stop()
        await store.aclose()
    ends = await asyncio.to_thread(log_ends, broker, COOCCURRENCES.name, topology.cooccurrences)
    assert set(ends.values()) == {0}
