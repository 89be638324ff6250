"""Short runs of the harness: what `python -m tests.chaos` does at length."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from contracts.partitioning import instrument_partition, user_partition
from contracts.times import DAY_S
from contracts.topics import BARS
from infra.local.kafka.jars import NoKafkaError, jars
from runtime.topology import Topology
from stream_processors.settings import Settings
from tests.chaos.check import await_folded, check, pause_feed
from tests.chaos.faults.brokers import cut
from tests.chaos.faults.kinds import KINDS
from tests.chaos.modes import USUAL
from tests.chaos.run import PARTITIONS, strike, world
from tests.chaos.world import ChaosError, World
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

OF_THE_BROKER = {"restart a broker", "pause a broker", "cut from the brokers"}
FIRST = "lose the store"
"""After it, closed bars of a topic that was recreated before are not compared."""
FAULTS = [
    FIRST,
    *(k for k, of in KINDS.items() if of.happens(USUAL) and k not in OF_THE_BROKER | {FIRST}),
]
SESSION_TIMEOUT_S = Settings.model_fields["session_timeout_s"].default
RECORDS_PER_S = 300


def test_nothing_is_lost_or_counted_twice_after_any_fault_that_the_suites_broker_survives(
    broker: str, namespace: str, topics: Callable[..., Topology], tmp_path: Path, seed: int
) -> None:
    topics(partitions=PARTITIONS)
    with world(tmp_path, namespace, seed, RECORDS_PER_S, borrowed_broker=broker) as made:
        made.await_load()
        for n, kind in enumerate(FAULTS):
            strike(made, kind, random.Random(f"{seed}/{n}"))
        assert check(made) > 0
        assert_notices_each_difference(made)


def test_workers_outlast_a_store_that_is_killed_and_a_broker_that_is_away_longer_than_a_session(
    namespace: str, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    try:
        jars()
    except NoKafkaError as missing:
        pytest.skip(str(missing))
    with world(tmp_path, namespace, seed, RECORDS_PER_S) as made:
        made.await_load()
        strike(made, "restart the store", rng)
        worker, other = made.wanted()
        made.begin(
            cut(made, rng, worker.name, worker.to_broker, "the brokers", SESSION_TIMEOUT_S + 1),
            frozenset(),
        )
        assert check(made) > 0
        assert (worker.restarts, other.restarts) == (0, 0)


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
