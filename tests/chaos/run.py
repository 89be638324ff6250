"""One run: servers, workers, a feed, faults, and a comparison after each few of them."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.keyspace import Keyspace
from contracts.topics import STREAMED
from infra import broker as brokers
from infra.topics import ensure
from runtime.stores import connect
from runtime.topology import Topology
from tests.chaos.check import check
from tests.chaos.faults import FEWEST_WORKERS, KINDS, plan
from tests.chaos.feed import Feed
from tests.chaos.fleet import Fleet, Worker
from tests.chaos.proxy import Network
from tests.chaos.servers import borrowed_kafka, durable_store, own_kafka
from tests.chaos.world import World

_SLOTS: Final = 4
PARTITIONS: Final = 2
_GAP_S: Final = (0.1, 2.5)
# Load goes on while the workers recover.
_BEFORE_CHECK_S: Final = (0.0, 6.0)
_FAULTS_A_CHECK: Final = (1, 4)
_NAMESPACE: Final = "chaos"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a run without a difference."""

    faults: int
    records: int
    restarts: int
    duration_s: float
    notes: list[str]


@contextlib.contextmanager
def world(
    folder: Path, namespace: str, seed: int, records_per_s: int, borrowed_broker: str | None = None
) -> Iterator[World]:
    """Yield a world with two workers under load; a borrowed broker's topics must be empty."""
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Network())
        kafka = (
            borrowed_kafka(borrowed_broker, _SLOTS)
            if borrowed_broker
            else own_kafka(folder / "broker", network, _SLOTS)
        )
        store = durable_store(folder / "store")
        for server in filter(None, (kafka.server, store)):
            server.start()
            stack.callback(server.stop)
            server.await_ready()
        topology = _topics(kafka.bootstrap_servers, store.address, Keyspace(namespace))
        fleet = Fleet(
            [
                Worker(n, folder, namespace, address, network.proxy(store.port), proxy)
                for n, (address, proxy) in enumerate(kafka.ways)
            ]
        )
        stack.callback(fleet.kill)
        feed = Feed(kafka.bootstrap_servers, seed, records_per_s)
        made = World(folder, namespace, topology, kafka, store, fleet, feed)
        stack.callback(made.close)
        for worker in fleet.workers[:FEWEST_WORKERS]:
            worker.start()
        feed.start()
        stack.callback(feed.stop)
        yield made


def strike(world: World, kind: str, rng: random.Random) -> None:
    """Begin a fault at a random moment; its end comes by itself."""
    world.wait(rng.uniform(*_GAP_S))
    world.begin(KINDS[kind].begin(world, rng), KINDS[kind].holds)


def suffer(world: World, seed: int, kinds: list[str], say: Callable[[str], None]) -> Outcome:
    """Let the faults happen, each at a random moment, and compare after each few.

    Raises:
        ChaosError: Redis and the log differ.
    """
    began_s = time.monotonic()
    until_check = _FAULTS_A_CHECK[1]
    world.await_load()
    for n, kind in enumerate(kinds):
        rng = random.Random(f"{seed}/{n}")
        say(f"fault {n + 1} of {len(kinds)}: {kind}")
        strike(world, kind, rng)
        until_check -= 1
        if until_check <= 0:
            until_check = rng.randint(*_FAULTS_A_CHECK)
            world.wait(rng.uniform(*_BEFORE_CHECK_S))
            check(world)
    check(world)
    world.wait(rng.uniform(*_GAP_S))
    records = check(world)
    restarts = sum(worker.restarts for worker in world.fleet.workers)
    return Outcome(len(kinds), records, restarts, time.monotonic() - began_s, world.notes)


def run(
    folder: Path, seed: int, faults: int, records_per_s: int, say: Callable[[str], None]
) -> Outcome:
    """Run one seed on Apache Kafka and Valkey.

    Raises:
        ChaosError: Redis and the log differ.
    """
    with world(folder, _NAMESPACE, seed, records_per_s) as made:
        return suffer(made, seed, plan(seed, faults), say)


def _topics(bootstrap_servers: str, store_url: str, keyspace: Keyspace) -> Topology:
    asked = {topic.name: PARTITIONS for topic in STREAMED}
    with connect(store_url, "chaos") as client:
        ensure(brokers.admin(bootstrap_servers), client, keyspace, asked)
        return Topology.from_hash(client.hgetall(keyspace.topics()))
