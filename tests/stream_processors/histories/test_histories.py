"""Histories on a real store and broker, with surprises from one of them."""

import asyncio

import pytest

from contracts.affinities import binary
from contracts.messages import Interaction, encode
from contracts.partitioning import user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.kafka.config import plain
from runtime.topology import Topology
from stream_processors.histories.rules import HistoryRules
from stream_processors.store.claims import FencedError, StoreEmptiedError
from stream_processors.transport.producer import Producer
from tests.integration.conftest import log_ends
from tests.stream_processors.claimed import claimed, connected
from tests.stream_processors.folding import fold_of_interactions
from tests.stream_processors.records import batch_of

USER = "ABC"
RULES = HistoryRules(binary, cap=500)


@pytest.mark.parametrize("what", ["lost everything", "was given to another worker"])
async def test_nothing_is_published_from_histories_that_are_no_longer_this_workers(
    broker: str, store_url: str, namespace: str, topology: Topology, what: str
) -> None:
    """The changes would come from wrong histories, and keep the right ones out."""
    partition = user_partition(USER, topology.interactions)
    producer = Producer(plain(broker))
    async with connected(store_url, namespace) as store:
        await producer.start()
        claim = await claimed(store, INTERACTIONS, partition)
        histories = fold_of_interactions(claim, producer, topology, RULES)
        if what == "lost everything":
            await store.client.delete(store.keyspace.position(INTERACTIONS, partition))
        else:
            await claimed(store, INTERACTIONS, partition)
        event = encode(Interaction(user_id=USER, instrument_id=4, ts=1_700_000_000_000))
        with pytest.raises((StoreEmptiedError, FencedError)):
            await histories.take(batch_of(INTERACTIONS.name, partition, [(0, event)]))
        await histories.unwritten()
        await producer.stop()
    ends = await asyncio.to_thread(
        log_ends, plain(broker), COOCCURRENCES.name, topology.cooccurrences
    )
    assert set(ends.values()) == {0}
