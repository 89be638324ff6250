"""A broker and a store that may be killed at any moment and started again on what they kept."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from infra.local import store as stores
from infra.local.kafka.server import kafka
from infra.local.process import LOOPBACK, Server, await_ready, ended, free_port, start, stop
from tests.chaos.proxy import Network, Proxy


class Restartable:
    """A server process, and the ways in which it may fail."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.address = server.address
        self.port = int(re.findall(r":(\d+)", server.address)[-1])
        self.product = server.product
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start on what the server kept; it answers a while later."""
        self._process = start(self._server.command)

    def await_ready(self) -> None:
        """Return as soon as it answers."""
        assert self._process is not None
        await_ready(self._server, self._process)

    def answers(self) -> bool:
        """Whether it answers now."""
        return self.runs() and self._server.answers()

    def runs(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and ended(self._process) is None

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it with -9 and wait for its end."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        """Stop it for good."""
        if self._process is not None:
            stop((self._process, self._server.command))


def durable_store(folder: Path) -> Restartable:
    """Valkey that has on disk what it acknowledged."""
    server = stores.valkey(free_port(), folder)
    argv = (*server.command.argv, "--appendonly", "yes", "--appendfsync", "always")
    return Restartable(replace(server, command=replace(server.command, argv=argv)))


def forget_all(folder: Path) -> None:
    """Remove what a store that is down had kept."""
    shutil.rmtree(folder / "appendonlydir")


class Kafka(NamedTuple):
    """The broker of a run, and the ways to it."""

    bootstrap_servers: str
    ways: list[tuple[str, Proxy | None]]
    """of each worker: the address that it knows, and the proxy that listens there"""
    server: Restartable | None
    """None if it is not the run's own: then it must not fail"""


def borrowed_kafka(address: str, workers: int) -> Kafka:
    """Return a broker that is not the run's own; everybody reaches it directly."""
    return Kafka(address, [(address, None)] * workers, None)


def own_kafka(folder: Path, network: Network, workers: int) -> Kafka:
    """Apache Kafka, with a proxy for each worker.

    Clients go on at the address that a broker advertises, so each proxy has a listener of its own.
    """
    server = Restartable(kafka(free_port(), folder))
    ports = [free_port() for _ in range(workers)]
    proxies = [network.proxy(port) for port in ports]
    names = [f"WORKER{n}" for n in range(workers)]
    ways = [f"{LOOPBACK}:{proxy.port}" for proxy in proxies]
    _add_to_properties(
        folder / "kafka.properties",
        {
            "listeners": zip(names, (f"//{LOOPBACK}:{port}" for port in ports), strict=True),
            "advertised.listeners": zip(names, (f"//{way}" for way in ways), strict=True),
            "listener.security.protocol.map": ((name, "PLAINTEXT") for name in names),
        },
    )
    return Kafka(server.address, list(zip(ways, proxies, strict=True)), server)


def _add_to_properties(file: Path, more: dict[str, Iterable[tuple[str, str]]]) -> None:
    """Add `name:value` pairs to properties that are lists of them."""
    lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    for name, pairs in more.items():
        lines[name] += "".join(f",{key}:{value}" for key, value in pairs)
    file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
