"""The store with its data, and the servers that are asked: all that the parts of `reads` share."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console

from benchmarks.harness.contender import ContenderError, answering
from benchmarks.harness.stage import python
from benchmarks.reads import cores, data
from benchmarks.reads.measured import Answered
from benchmarks.reads.minutes import Minutes
from benchmarks.reads.wrk import Load, drive
from contracts.keyspace import Keyspace
from infra.local.paths import PROJECT
from infra.local.process import LOOPBACK, Command, Server, free_port, running
from infra.local.store import valkey
from runtime.redis.stores import connect

_SETTLED_WITHIN_S: Final = 60
_LOOKS: Final = 10
_LOOK_EVERY_S: Final = 0.02
_TICK_S: Final = 0.01
"""by which the clock of a process's CPU goes on"""
_NAMESPACE: Final = "bench-reads"
_READY_PATH: Final = "/v1/instruments/0/bars"


@dataclass(frozen=True, slots=True)
class Asked:
    """A server that runs."""

    name: str
    port: int
    pid: int

    def settle(self) -> None:
        """Return when it is idle: what wrk left without waiting for the answer is still worked on.

        Raises:
            ContenderError: it is not idle for a long time.
        """
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        process = psutil.Process(self.pid)
        while not _idle(process):
            if time.monotonic() > deadline:
                raise ContenderError(
                    f"{self.name} was still busy {_SETTLED_WITHIN_S} s after the last request"
                )


@dataclass(frozen=True, slots=True)
class Scene:
    """A store with data, and how to run servers on it."""

    size: data.Size
    store: Server
    store_pid: int
    used_bytes: int
    """the store's memory, before anything was asked"""
    minutes: Minutes
    folder: Path
    server_core: int
    load_core: int

    def __str__(self) -> str:
        return f"{self.size}; the store holds {self.used_bytes / 1e9:.2f} GB"

    @property
    def keyspace(self) -> Keyspace:
        """The keys of the data."""
        return Keyspace(_NAMESPACE)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of a server on this data; nothing listens at its Kafka address."""
        return {
            "REDIS_URL": self.store.address,
            "NAMESPACE": _NAMESPACE,
            "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{free_port()}",
            "PYTHONPATH": str(PROJECT),
        }

    def ask(self, load: Load, server: Asked) -> Answered:
        """Put a load on a server."""
        self.minutes.cover(load.seconds + 1)
        watched = {"server": server.pid, "store": self.store_pid}
        answered = drive(load, server.port, watched, self.folder)
        server.settle()
        return answered

    @contextlib.contextmanager
    def serving(self, name: str, module: str) -> Iterator[Asked]:
        """Run a server of a module for the block: ours, or the baseline."""
        port = free_port()
        settings = {**self.environment, "API_HOST": LOOPBACK, "API_PORT": str(port)}
        command = Command(name, python(module), self.folder / f"{name}.log", settings)
        with running(answering(command, port, _READY_PATH)) as process:
            yield Asked(name, port, process.pid)


@contextlib.contextmanager
def set_up(folder: Path, size: data.Size, console: Console) -> Iterator[Scene]:
    """Run a store on the core of the load and fill it, for the block; with progress shown.

    Raises:
        ContenderError: there are too few cores.
        NotReadyError: the store did not come up.
    """
    server, (server_core, load_core) = valkey(free_port(), folder), cores.server_and_load()
    with contextlib.ExitStack() as stack:
        with cores.on(load_core):
            process = stack.enter_context(running(server))
        minutes = _fill(server.address, size, console)
        with connect(server.address, "tickrec-benchmarks") as client:
            used_bytes = int(client.info("memory")["used_memory"])
        yield Scene(size, server, process.pid, used_bytes, minutes, folder, server_core, load_core)


def _idle(process: psutil.Process) -> bool:
    """Tell whether a process did next to nothing, and wanted nothing, for a moment."""
    before = process.cpu_times()
    for _ in range(_LOOKS):
        # A process that has no core to run on is not idle.
        if process.status() == psutil.STATUS_RUNNING:
            return False
        time.sleep(_LOOK_EVERY_S)
    after = process.cpu_times()
    return sum(after[:2]) - sum(before[:2]) <= _TICK_S


def _fill(address: str, size: data.Size, console: Console) -> Minutes:
    keyspace, topology = Keyspace(_NAMESPACE), data.noted()
    data.load(address, keyspace, topology, size, time.time_ns() // 1_000_000, console)
    minutes = Minutes(address, keyspace, topology, size.instruments, data.SEED)
    minutes.cover(0)
    return minutes
