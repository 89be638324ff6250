"""The broker and the store of a benchmark, started once, and the processes that it lets run there.

A contender is a process that was started with a namespace of its own and finds its input in Kafka
already. How far it is, it says in the store, with the time of its own clock: when it was ready to
read its first record, and when it had written its last. So neither the start of a process nor the
time to join a consumer group counts, and a late look by this process measures nothing wrong.
"""

import contextlib
import dataclasses
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from benchmarks.cpu import Clock, read_clock, spent
from benchmarks.rounds import Run
from contracts.keyspace import Keyspace
from infra import broker as brokers
from infra.local.kafka.jars import NoKafkaError
from infra.local.kafka.server import kafka
from infra.local.paths import PROJECT
from infra.local.process import Command, Server, ended, free_port, running, start, stop
from infra.local.store import valkey
from infra.local.tansu import tansu
from infra.topics import ensure
from runtime.stores import Store, connect
from runtime.topology import Topology

RUN_WITHIN_S: Final = 120
"""What ends a contender that hangs: no run of a default size comes near it."""
_LOOK_EVERY_S: Final = 0.02


class ContenderError(RuntimeError):
    """A contender ended, hung, or did not do the work that is compared."""


class Progress(Protocol):
    """How far a contender is, as the store has it."""

    def started_ms(self) -> int | None:
        """Return when it was ready to read its first record, None before it was."""

    def finished_ms(self) -> int | None:
        """Return when it had written its last record, None before it had."""

    def check(self) -> None:
        """Compare what it wrote with what it was given.

        Raises:
            ContenderError: it is not the same.
        """

    @property
    def records(self) -> int:
        """How many records it folded; known once it has finished."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Servers that run, and where the contenders' logs go."""

    broker: Server
    store: Server
    pids: Mapping[str, int]
    """of broker and store"""
    client: Store
    folder: Path

    def make_topics(self, namespace: str, **partitions: int) -> Topology:
        """Make the topics that are missing, and note them for a namespace.

        `quotes=4` gives that one another number of partitions than `contracts.topics` does.
        """
        client = brokers.admin(self.broker.address)
        rows = ensure(client, self.client, Keyspace(namespace), partitions)
        return Topology.from_hash({row.topic.name: str(row.partitions) for row in rows})

    def empty_topic(self, name: str) -> None:
        """Delete a topic with all that it holds; `make_topics` makes it anew."""
        brokers.delete(brokers.admin(self.broker.address), [name])

    def run(
        self,
        module: str,
        progress: Callable[[Keyspace, Topology], Progress],
        argv: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Run:
        """Run `python -m module` on an empty store until it has done its work, then stop it.

        An engine with an environment of its own is run by `argv` instead; `settings` are added to
        what it finds in its environment variables.

        Raises:
            ContenderError: it did not do it.
        """
        self.client.flushall()
        namespace = f"bench-{uuid.uuid4().hex[:8]}"
        its = progress(Keyspace(namespace), self.make_topics(namespace))
        command = self.command(module, namespace, argv or (sys.executable, "-m", module))
        environment = {**command.environment, **(settings or {})}
        process = start(dataclasses.replace(command, environment=environment))
        try:
            started_ms = _await(its.started_ms, process, command)
            before = self._clock(process)
            finished_ms = _await(its.finished_ms, process, command)
            cpu_s = spent(before, self._clock(process))
        finally:
            stop((process, command))
        its.check()
        return Run(its.records, (finished_ms - started_ms) / 1000, cpu_s)

    def _clock(self, process: subprocess.Popen[bytes]) -> Clock:
        return read_clock({"worker": process.pid, **self.pids})

    def command(self, module: str, namespace: str, argv: Sequence[str]) -> Command:
        """Return how to run a program on these servers."""
        return Command(
            name=module,
            argv=tuple(argv),
            log=self.folder / f"{module}.{namespace}.log",
            environment={
                "KAFKA_BOOTSTRAP_SERVERS": self.broker.address,
                "REDIS_URL": self.store.address,
                "NAMESPACE": namespace,
                "METRICS_PORT": "0",
                # Our package is installed in our environment only.
                "PYTHONPATH": str(PROJECT),
            },
        )


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


def _await(
    moment: Callable[[], int | None], process: subprocess.Popen[bytes], command: Command
) -> int:
    deadline = time.monotonic() + RUN_WITHIN_S
    while (ms := moment()) is None:
        code = ended(process)
        if code is not None:
            raise ContenderError(f"{command.name} ended with exit code {code}: see {command.log}")
        if time.monotonic() > deadline:
            raise ContenderError(
                f"{command.name} was not done within {RUN_WITHIN_S} s: see {command.log}"
            )
        time.sleep(_LOOK_EVERY_S)
    return ms
