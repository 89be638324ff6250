"""The parts of the local stack: each process's command, settings, port and log."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx

from infra.local.kafka.secured import Security, secured_kafka
from infra.local.kafka.server import kafka
from infra.local.process import LOOPBACK, Command, NotReadyError, Server, free_port, is_free
from infra.local.store import valkey
from infra.local.tansu import tansu
from runtime.archive.config import archive_from_env
from runtime.kafka.rights import User
from runtime.settings import SharedSettings, read_settings

BrokerKind = Literal["tansu", "kafka", "kafka-secured", "own"]
"""`own` starts none: the programs' settings give its address."""

_COUNTS_FLUSH_EVERY_S: Final = "1"
_TRAIN_EVERY_S: Final = "5"
"""Frequent: users of a local stack want to see their events count."""
_KEPT_GENERATIONS: Final = "1"
"""One to roll back to."""
_ARCHIVE_FLUSH_EVERY_S: Final = "10"

_USERS: Final[Mapping[str, User]] = {
    "operations.topics": "topics",
    "stream_processors": "workers",
    "trainer": "trainer",
    "api": "api",
    "producers": "simulator",
    "archive": "archive",
}
"""A program's identity in a Kafka with users."""
_ALIVE: Final = {"api": "/health/live", "trainer": "/metrics"}
_ALIVE_ELSEWHERE: Final = "/health"
"""For workers and the archive; `infra/kubernetes` uses the same."""
_ANSWERS_WITHIN_S: Final = 4
_USUAL_API_PORT: Final = 8000


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of a local stack."""

    broker: BrokerKind = "tansu"
    workers: int = 1
    """processes, at least one"""
    api_port: int | None = None
    """0: any that is free, as for all others; None: 8000 or, if that is taken, another"""
    simulated: bool = True
    """quotes and events are simulated"""
    archived: bool = False
    """an archive runs, and the API reads it"""


@dataclass(frozen=True, slots=True)
class _Program:
    """A program of the stack, with the settings that only it gets."""

    name: str
    arguments: tuple[str, ...]
    """of `python -m`"""
    settings: Mapping[str, str]
    port: int | None
    """where it serves HTTP, if it does"""


@dataclass(frozen=True, slots=True)
class Stack:
    """All processes, and their addresses."""

    namespace: str
    store: Server
    broker: Server | None
    """none for the user's own broker"""
    topics: Command
    """runs once, after the servers answer and before the programs start"""
    programs: tuple[Command, ...]
    urls: Mapping[str, str]
    """of the programs that serve HTTP; all except the API serve /metrics there"""

    @property
    def servers(self) -> tuple[Server, ...]:
        """The servers that must answer before anything else starts."""
        return (self.store, self.broker) if self.broker else (self.store,)

    @property
    def api_url(self) -> str:
        """The API's address."""
        return self.urls["api"]

    @property
    def worker_urls(self) -> list[str]:
        """The addresses of the workers' /metrics and /health."""
        return [url for name, url in self.urls.items() if name.startswith("worker")]

    def answers(self, program: str) -> Callable[[], bool] | None:
        """Return a program's liveness probe; None if it serves nothing."""
        url = self.urls.get(program)
        if url is None:
            return None
        client, path = httpx.Client(base_url=url), _ALIVE.get(program, _ALIVE_ELSEWHERE)
        return lambda: client.get(path, timeout=_ANSWERS_WITHIN_S).is_success

    def addresses(self) -> dict[str, str]:
        """Return the addresses by process."""
        servers = {server.command.name: server.address for server in self.servers}
        return servers | dict(self.urls)


def compose(folder: Path, options: Options) -> Stack:
    """Return a stack with its logs, and data if any, in `folder`, an absolute path.

    An archive is in `folder`, too, unless the environment says where.

    Raises:
        NoKafkaError: Apache Kafka was requested, but is unavailable here.
        NotReadyError: a server listens on the API's port already.
    """
    given = read_settings(SharedSettings)
    store = valkey(free_port(), folder)
    log, security = _started(options.broker, folder, given)
    shared = {"REDIS_URL": store.address, "NAMESPACE": given.namespace}
    if log:
        shared["KAFKA_BOOTSTRAP_SERVERS"] = log.address
    if options.archived and archive_from_env() is None:
        shared["ARCHIVE_WAREHOUSE"] = str(folder / "archive")

    def command(program: _Program) -> Command:
        login = security.environment(_USERS[program.arguments[0]]) if security else {}
        return Command(
            program.name,
            (sys.executable, "-m", *program.arguments),
            folder / f"{program.name}.log",
            {**shared, **login, **program.settings},
        )

    programs = list(_programs(options))
    return Stack(
        given.namespace,
        store,
        log,
        command(_Program("topics", ("operations.topics",), {}, None)),
        tuple(map(command, programs)),
        {p.name: f"http://{LOOPBACK}:{p.port}" for p in programs if p.port is not None},
    )


def _started(
    broker: BrokerKind, folder: Path, settings: SharedSettings
) -> tuple[Server | None, Security | None]:
    """Return the broker to start, and its users, if it has any."""
    if broker == "own":
        return None, None
    if broker == "kafka-secured":
        return secured_kafka(free_port(), folder, settings.namespace, settings.kafka.prefix)
    return (kafka if broker == "kafka" else tansu)(free_port(), folder), None


def _programs(options: Options) -> Iterator[_Program]:
    """Yield the programs, in the order of their start."""
    counts = _unless_given("COUNTS_FLUSH_INTERVAL_S", _COUNTS_FLUSH_EVERY_S)
    for n in range(1, options.workers + 1):
        yield _with_metrics(f"worker-{n}", ("stream_processors",), counts)
    training = _unless_given("TRAIN_EVERY_SECONDS", _TRAIN_EVERY_S)
    kept = _unless_given("KEEP_GENERATIONS", _KEPT_GENERATIONS)
    yield _with_metrics("trainer", ("trainer", "run"), training | kept)
    if options.archived:
        flushes = _unless_given("ARCHIVE_FLUSH_INTERVAL_S", _ARCHIVE_FLUSH_EVERY_S)
        yield _with_metrics("archive", ("archive", "run"), flushes)
        yield _with_metrics("maintenance", ("archive", "maintain"), {})
    port = _port_of_the_api(options.api_port)
    yield _Program("api", ("api",), {"API_HOST": LOOPBACK, "API_PORT": str(port)}, port)
    if options.simulated:
        yield _Program("producer", ("producers", "simulate"), {}, None)


def _with_metrics(name: str, arguments: tuple[str, ...], settings: Mapping[str, str]) -> _Program:
    port = free_port()
    return _Program(name, arguments, {**settings, "METRICS_PORT": str(port)}, port)


def _unless_given(setting: str, value: str) -> dict[str, str]:
    """Return a setting with our value, unless the environment has another."""
    return {setting: os.environ.get(setting, value)}


def _port_of_the_api(wished: int | None) -> int:
    if not wished:
        return free_port(_USUAL_API_PORT if wished is None else 0)
    if not is_free(wished):
        raise NotReadyError(f"port {wished} is taken: choose another one for the API, or 0 for any")
    return wished
