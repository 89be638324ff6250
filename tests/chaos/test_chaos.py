"""A short run of the harness: what `python -m tests.chaos` does at length, with quick faults.

It shares the broker of the suite, which must live on, so only workers and store fail here.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import BARS
from runtime.topology import Topology
from tests.chaos.check import await_folded, check, pause_feed
from tests.chaos.run import PARTITIONS, strike, world
from tests.chaos.truth.expected import DAY_S
from tests.chaos.world import ChaosError, World
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

FAULTS = [
    "kill a worker at a write",
    "cut from the store",
    "add or remove a worker",
    "restart the store",
    "lose the store",
]
RECORDS_PER_S = 300


def test_nothing_is_lost_or_counted_twice_though_workers_and_store_fail_under_load(
    broker: str, namespace: str, topics: Callable[..., Topology], tmp_path: Path, seed: int
) -> None:
    topics(partitions=PARTITIONS)
    with world(tmp_path, namespace, seed, RECORDS_PER_S, borrowed_broker=broker) as made:
        made.await_load()
        for n, kind in enumerate(FAULTS):
            strike(made, kind, random.Random(f"{seed}/{n}"))
        assert check(made) > 0
        assert_notices_each_difference(made)


def assert_notices_each_difference(world: World) -> None:
    """Damage Redis and the topic a little, in one place each: the comparison must name all."""
    pause_feed(world)
    # A worker writes counts whole, so one with events left could repair the damage.
    await_folded(world)
    topology, store, keyspace = world.topology, world.client, world.keyspace
    item = keyspace.cooc(instrument_partition(7, topology.cooccurrences), 7)
    user = keyspace.history(user_partition("user-7", topology.interactions), "user-7")
    bars = keyspace.bars(instrument_partition(7, topology.quotes), 7)
    store.hincrby(item, "7", 1)
    store.hset(user, "1000", '{"r":1,"t":1}')
    minute = max(field for field in store.hkeys(bars) if field.isdigit())
    store.hset(bars, minute, store.hget(bars, minute).replace('"n":', '"n":1'))
    trending = next(store.scan_iter(f"{keyspace.namespace}:trending:*:{DAY_S}:*"))
    trended = next(field for field in store.hkeys(trending) if field.isdigit())
    store.hincrby(trending, trended, 1)
    published = publish_another_revision(world)
    with pytest.raises(ChaosError) as caught:
        check(world)
    named = {line.split(": ")[0] for line in str(caught.value).splitlines()}
    differing = {f"{item} 7", f"{user} 1000", f"{bars} {minute}", f"{trending} {trended}"}
    assert named == differing | {published}


def publish_another_revision(world: World) -> str:
    """Publish a bar as no worker has, under the revision after its greatest; return its name."""
    producer = Producer({"bootstrap.servers": world.kafka.bootstrap_servers})
    record = world.log.records[BARS.name, 0][-1]
    bar = json.loads(record.value or b"")
    bar["revision"] += 2**40
    producer.produce(BARS.name, json.dumps(bar), record.key, partition=0)
    assert producer.flush(PATIENCE_S) == 0
    return f"bars {bar['instrument_id']} {bar['t'] // 1000}"
