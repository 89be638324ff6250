"""The store with its data, and the servers that answer: all that the parts of `reads` share.

Each runs on the core that this process has at that moment: children inherit it.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console

from benchmarks.harness.contender import ContenderError, answering
from benchmarks.harness.stage import python
from benchmarks.reads import data
from benchmarks.reads.minutes import Minutes
from benchmarks.reads.results import Answered
from benchmarks.reads.wrk import Load, drive
from contracts.keyspace import Keyspace
from contracts.topics import STREAMED
from infra.local.paths import PROJECT
from infra.local.process import LOOPBACK, Command, Server, free_port, running
from infra.local.store import valkey
from runtime.redis.stores import connect
from runtime.topology import Topology

_SETTLED_WITHIN_S: Final = 60
_LOOKS: Final = 10
_LOOK_EVERY_S: Final = 0.02
_TICK_S: Final = 0.01
"""by which the clock of a process's CPU goes on"""
_NAMESPACE: Final = "bench-reads"
_READY_PATH: Final = "/v1/instruments/0/bars"
_CORES_NEEDED: Final = 2


@dataclass(frozen=True, slots=True)
class ReadServer:
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

    def ask(self, load: Load, server: ReadServer) -> Answered:
        """Put a load on a server."""
        self.minutes.cover(load.seconds + 1)
        watched = {"server": server.pid, "store": self.store_pid}
        answered = drive(load, server.port, watched, self.folder)
        server.settle()
        return answered

    @contextlib.contextmanager
    def serving(self, name: str, module: str) -> Iterator[ReadServer]:
        """Run a server of a module for the block: ours, or the baseline."""
        port = free_port()
        settings = {
            "REDIS_URL": self.store.address,
            "NAMESPACE": _NAMESPACE,
            # Nothing listens there.
            "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{free_port()}",
            "PYTHONPATH": str(PROJECT),
            "API_HOST": LOOPBACK,
            "API_PORT": str(port),
        }
        command = Command(name, python(module), self.folder / f"{name}.log", settings)
        with running(answering(command, port, _READY_PATH)) as process:
            yield ReadServer(name, port, process.pid)


def server_and_load_cores() -> tuple[int, int]:
    """Return the core of the server that is asked, and the one of the store and of wrk.

    Raises:
        ContenderError: there is only one.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < _CORES_NEEDED:
        raise ContenderError(
            f"reads needs {_CORES_NEEDED} cores, one for the server and one for the load, "
            f"but this process may use only {cores}: run it on a larger machine"
        )
    return cores[0], cores[1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let this process, and whatever it starts within the block, run on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def set_up(folder: Path, size: data.Size, console: Console) -> Iterator[Scene]:
    """Run a store on the core of the load and fill it, for the block; with progress shown.

    Raises:
        ContenderError: there are too few cores.
        NotReadyError: the store did not come up.
    """
    server, (server_core, load_core) = valkey(free_port(), folder), server_and_load_cores()
    with contextlib.ExitStack() as stack:
        with on_core(load_core):
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
    keyspace = Keyspace(_NAMESPACE)
    topology = Topology(**{topic.name: topic.partitions for topic in STREAMED})
    data.load(address, keyspace, topology, size, time.time_ns() // 1_000_000, console)
    minutes = Minutes(address, keyspace, topology, size.instruments, data.SEED)
    minutes.cover(0)
    return minutes
