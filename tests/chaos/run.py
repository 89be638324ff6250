"""One run: servers, workers, a feed, faults, and a comparison after each few of them."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.keyspace import Keyspace
from contracts.topics import STREAMED
from infra.local.kafka.secured import grant_all, new_security
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.chaos.check import check
from tests.chaos.clock import Clock
from tests.chaos.faults.kinds import KINDS, plan
from tests.chaos.faults.workers import FEWEST_WORKERS
from tests.chaos.feed import COMPRESSIONS, Feed
from tests.chaos.modes import USUAL, Mode
from tests.chaos.proxy import Network, link
from tests.chaos.servers.cluster import Cluster
from tests.chaos.servers.kafka import Kafka, borrowed_kafka, own_kafka
from tests.chaos.servers.restartable import started
from tests.chaos.servers.store import Single
from tests.chaos.worker import Worker
from tests.chaos.world import World

_WORKERS: Final = 4
PARTITIONS: Final = 2
_GAP_S: Final = (0.1, 2.5)
# Load continues while the workers recover.
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
    folder: Path,
    namespace: str,
    seed: int,
    records_per_s: int,
    mode: Mode = USUAL,
    borrowed_broker: str | None = None,
) -> Iterator[World]:
    """Yield a world with two workers under load; a borrowed broker's topics must be empty."""
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Network())
        security = new_security(folder / "tls") if mode.secured else None
        kafka = (
            borrowed_kafka(borrowed_broker, _WORKERS)
            if borrowed_broker
            else own_kafka(folder / "broker", network, _WORKERS, mode.brokers, security)
        )
        kind = Cluster if mode.store == "cluster" else Single
        store = kind(folder / "store", mode.appendfsync)
        stack.enter_context(started(*kafka.servers, store))
        topology = _topics(kafka, store, Keyspace(namespace))
        if security:
            own = plain(kafka.bootstrap_servers)
            grant_all(brokers.Admin(own), own, namespace)
        as_workers = security.environment("workers") if security else {}
        shared = {**mode.environment(), **as_workers, "NAMESPACE": namespace}
        workers = _workers(folder, shared, network, kafka, store)
        for worker in workers:
            stack.callback(worker.kill)
        feed = Feed(
            kafka.bootstrap_servers,
            seed,
            records_per_s,
            compressions=COMPRESSIONS if kafka.servers else COMPRESSIONS[:1],
        )
        made = World(folder, namespace, mode, topology, kafka, store, workers, feed)
        stack.callback(made.close)
        for worker in workers[:FEWEST_WORKERS]:
            worker.start()
        feed.start()
        stack.callback(feed.stop)
        yield made


def strike(world: World, kind: str, rng: random.Random) -> None:
    """Begin a fault at a random moment; it ends by itself."""
    world.wait(rng.uniform(*_GAP_S))
    world.begin(KINDS[kind].begin(world, rng), KINDS[kind].holds)


def run(
    folder: Path,
    seed: int,
    mode: Mode,
    say: Callable[[str], None],
    *,
    faults: int,
    records_per_s: int,
    only: list[str] | None = None,
) -> Outcome:
    """Run one seed: each fault begins at a random moment, and after each few all is compared.

    Raises:
        ChaosError: Redis and the log differ.
    """
    kinds, until_check = plan(seed, faults, mode, only), _FAULTS_A_CHECK[1]
    with world(folder, _NAMESPACE, seed, records_per_s, mode) as made:
        began_s = time.monotonic()
        made.await_load()
        for n, kind in enumerate(kinds):
            rng = random.Random(f"{seed}/{n}")
            say(f"fault {n + 1} of {len(kinds)}: {kind}")
            strike(made, kind, rng)
            until_check -= 1
            if until_check <= 0:
                until_check = rng.randint(*_FAULTS_A_CHECK)
                made.wait(rng.uniform(*_BEFORE_CHECK_S))
                check(made)
        check(made)
        made.wait(rng.uniform(*_GAP_S))
        records = check(made)
        restarts = sum(worker.restarts for worker in made.workers)
        return Outcome(len(kinds), records, restarts, time.monotonic() - began_s, made.notes)


def _topics(kafka: Kafka, store: Single, keyspace: Keyspace) -> Topology:
    asked = {topic.name: PARTITIONS for topic in STREAMED}
    with store.client() as client:
        ensure(brokers.Admin(plain(kafka.bootstrap_servers)), client, keyspace, asked)
        return Topology.from_hash(client.hgetall(keyspace.topics()))


def _workers(
    folder: Path, shared: Mapping[str, str], network: Network, kafka: Kafka, store: Single
) -> list[Worker]:
    ports, workers = [node.port for node in store.nodes], []
    for n, (brokers_of_worker, to_broker) in enumerate(kafka.ways):
        environment = {**shared, "KAFKA_BOOTSTRAP_SERVERS": brokers_of_worker}
        clock = Clock(folder / f"worker-{n}.clock")
        workers.append(Worker(n, folder, environment, link(network, ports), to_broker, clock))
    return workers
