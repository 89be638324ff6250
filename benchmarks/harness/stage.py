"""The broker and the store of a benchmark, started once, and the programs that run on them.

A contender is a process that was started with a namespace of its own and finds its input in Kafka.
It records its progress in the store, with the time of its own clock: when it was ready to read its
first record, and when it had written its last. So neither the start of a process nor the time to
join a consumer group counts, and late polling by this process does not distort the result.
"""

import contextlib
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.harness.contender import Process, answering, awaited, started
from benchmarks.harness.namespace import Namespace, Written, claimed_ms
from benchmarks.harness.report import Servers
from benchmarks.harness.rounds import Run
from benchmarks.harness.usage import read_clock, spent
from contracts.keyspace import Keyspace
from contracts.topics import BARS, STREAMED, Topic
from infra.local.kafka.jars import NoKafkaError
from infra.local.kafka.server import kafka
from infra.local.paths import PROJECT
from infra.local.process import LOOPBACK, Command, Server, free_port, running, stop
from infra.local.store import valkey
from infra.local.tansu import tansu
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import Store, connect
from runtime.topology import Topology

WORKER: Final = "stream_processors"


class Progress(NamedTuple):
    """How far a contender is."""

    started_ms: Callable[[], int | None]
    """when it was ready to read its first record, None before it was"""
    finished: Callable[[], Written | None]
    """what it had written, and when, once that is all"""
    check: Callable[[int], None]
    """compares so many records with what it wrote; raises ContenderError"""


@dataclass(frozen=True, slots=True)
class Stage:
    """Servers that run, and where the programs' logs go."""

    broker: Server
    store: Server
    pids: Mapping[str, int]
    """of broker and store"""
    client: Store
    folder: Path

    @property
    def servers(self) -> Servers:
        """What runs here."""
        return Servers(self.broker.product, self.store.product)

    def namespace(self) -> Namespace:
        """Empty the store, and return a new namespace in it; missing topics are created."""
        self.client.flushall()
        keys = Keyspace(f"bench-{uuid.uuid4().hex[:8]}")
        rows = ensure(brokers.Admin(plain(self.broker.address)), self.client, keys, {})
        topology = Topology(
            **{row.topic.name: row.partitions for row in rows if row.topic in STREAMED}
        )
        return Namespace(self.client, keys, topology)

    def empty(self, *topics: Topic) -> None:
        """Delete topics with their contents: `namespace` recreates them."""
        brokers.delete(brokers.Admin(plain(self.broker.address)), [topic.name for topic in topics])

    def fresh_namespace(self) -> Namespace:
        """Return a namespace with nothing left to fold, and nothing published."""
        self.empty(*STREAMED, BARS)
        return self.namespace()

    def command(
        self, name: str, argv: Sequence[str], namespace: Namespace, settings: Mapping[str, str]
    ) -> Command:
        """Return how to run a program on these servers."""
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.address,
            "REDIS_URL": self.store.address,
            "NAMESPACE": namespace.keys.namespace,
            "METRICS_PORT": "0",
            # Our package is installed in our environment only.
            "PYTHONPATH": str(PROJECT),
        }
        log = self.folder / f"{name}.{namespace.keys.namespace}.log"
        return Command(name, tuple(argv), log, {**environment, **settings})

    def run(
        self,
        name: str,
        argv: Sequence[str],
        progress: Callable[[Namespace], Progress],
        settings: Mapping[str, str] | None = None,
    ) -> Run:
        """Run a contender on an empty store until it has done its work, then stop it.

        Raises:
            ContenderError: it did not do it.
        """
        namespace = self.namespace()
        its = progress(namespace)
        process = started(self.command(name, argv, namespace, settings or {}))
        pids = {"worker": process.popen.pid, **self.pids}
        try:
            started_ms = awaited(its.started_ms, f"the start of {name}", process)
            before = read_clock(pids)
            written = awaited(its.finished, f"the work of {name}", process)
            cpu_s = spent(before, read_clock(pids))
        finally:
            stop(process)
        its.check(written.records)
        return Run(written.records, (written.at_ms - started_ms) / 1000, cpu_s)

    def run_peer(
        self, name: str, argv: Sequence[str], n: int, check: Callable[[Namespace, int], None]
    ) -> Run:
        """Run a peer until it has written so many records or more, and check what it wrote.

        Raises:
            ContenderError: it did not do it.
        """

        def its(namespace: Namespace) -> Progress:
            written = partial(namespace.peer_written, n)
            return Progress(namespace.peer_started_ms, written, partial(check, namespace))

        return self.run(name, argv, its)

    @contextlib.contextmanager
    def worker(self, namespace: Namespace) -> Iterator[Process]:
        """Run our worker for the block, from when it has claimed every partition.

        Raises:
            ContenderError: it ended, or took too long.
        """
        process = started(self.command(WORKER, python(WORKER), namespace, {}))
        try:
            awaited(
                lambda: all(claimed_ms(namespace.positions(topic)) for topic in STREAMED) or None,
                "claiming the partitions",
                process,
            )
            yield process
        finally:
            stop(process)

    @contextlib.contextmanager
    def api(self, namespace: Namespace) -> Iterator[tuple[int, int]]:
        """Run our API for the block, and hand out its process and its port."""
        port = free_port()
        settings = {"API_HOST": LOOPBACK, "API_PORT": str(port)}
        command = self.command("api", python("api"), namespace, settings)
        with running(answering(command, port, "/health/ready")) as process:
            yield process.pid, port


def python(module: str) -> tuple[str, ...]:
    """Return how to run a module in our own environment."""
    return sys.executable, "-m", module


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Run Apache Kafka where Java and Maven work, else Tansu, and Valkey, for the block.

    Raises:
        NotReadyError: a server did not come up.
    """
    store = valkey(free_port(), folder)
    try:
        broker = kafka(free_port(), folder)
    except NoKafkaError:
        broker = tansu(free_port(), folder)
    with (
        running(store) as store_process,
        running(broker) as broker_process,
        connect(store.address, "tickrec-benchmarks") as client,
    ):
        pids = {"broker": broker_process.pid, "store": store_process.pid}
        yield Stage(broker, store, pids, client, folder)
