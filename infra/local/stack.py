"""The parts of the local stack: each process's command, settings, port and log."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx

from infra.local.kafka.secured import Security, secured_kafka
from infra.local.kafka.server import kafka
from infra.local.process import LOOPBACK, Command, NotReadyError, Server, free_port
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
_USUAL_PORTS: Final = {"store": 6379, "broker": 9092, "api": 8000}
PORTS: Final = "ports.json"
"""In the stack's folder: the ports of its latest start."""


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of a local stack."""

    broker: BrokerKind = "tansu"
    workers: int = 1
    """processes, at least one"""
    api_port: int | None = None
    """None: that of the latest start in the folder, else 8000, or the next free one; 0: any that is
    free, for the servers, too, which otherwise get theirs in the same way"""
    simulated: bool = True
    """quotes and events are simulated"""
    archived: bool = False
    """an archive runs, and the API reads it"""
    durable: bool = False
    """its data outlive it, and the next one with this kind of broker continues on them"""

    def data(self, folder: Path) -> Path | None:
        """Return where data stay; None if they end with the stack, as with passwords of its own."""
        return folder / self.broker if self.durable and self.broker != "kafka-secured" else None


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
    settings: Mapping[str, str]
    """by which other commands reach it, as environment variables"""
    forgets: bool
    """its broker loses the log when it ends"""

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

    An archive is with the data, too, unless the environment says where.

    Raises:
        NoKafkaError: Apache Kafka was requested, but is unavailable here.
        NotReadyError: a server listens on the API's port already.
    """
    given = read_settings(SharedSettings, finds_stack=False)
    ports, data = _ports(folder, options.api_port), options.data(folder)
    # Of Tansu's log nothing is left, so the simulator would publish its past on top of itself.
    has_past = options.broker == "tansu" and data is not None and data.exists()
    store = valkey(ports["store"], folder, data and data / "store")
    log, security = _started(options.broker, ports["broker"], folder, data, given)
    shared = {"REDIS_URL": store.address, "NAMESPACE": given.namespace}
    if log:
        shared["KAFKA_BOOTSTRAP_SERVERS"] = log.address
    if options.archived and archive_from_env() is None:
        shared["ARCHIVE_WAREHOUSE"] = str((data or folder) / "archive")

    def command(program: _Program) -> Command:
        login = security.environment(_USERS[program.arguments[0]]) if security else {}
        return Command(
            program.name,
            (sys.executable, "-m", *program.arguments),
            folder / f"{program.name}.log",
            {**shared, **login, **program.settings},
        )

    programs = list(_programs(options, ports["api"], has_past=has_past))
    return Stack(
        given.namespace,
        store,
        log,
        command(_Program("topics", ("operations.topics",), {}, None)),
        tuple(map(command, programs)),
        {p.name: f"http://{LOOPBACK}:{p.port}" for p in programs if p.port is not None},
        {} if security else _reached_by(given, shared),
        options.broker == "tansu",
    )


def _reached_by(given: SharedSettings, shared: Mapping[str, str]) -> dict[str, str]:
    """Return the settings for other commands; none if the broker wants to know who they are."""
    if given.kafka.security_protocol != "PLAINTEXT":
        return {}
    servers = {"KAFKA_BOOTSTRAP_SERVERS": given.kafka.bootstrap_servers, **shared}
    prefix = {"KAFKA_PREFIX": given.kafka.prefix} if given.kafka.prefix else {}
    return servers | prefix


def _started(
    broker: BrokerKind, port: int, folder: Path, data: Path | None, settings: SharedSettings
) -> tuple[Server | None, Security | None]:
    """Return the broker to start, and its users, if it has any."""
    if broker == "own":
        return None, None
    if broker == "kafka-secured":
        return secured_kafka(port, folder, settings.namespace, settings.kafka.prefix)
    if broker == "kafka":
        return kafka(port, folder, data=data and data / "log"), None
    return tansu(port, folder), None


def _programs(options: Options, api_port: int, *, has_past: bool) -> Iterator[_Program]:
    """Yield the programs, in the order of their start; the simulator may add to a past."""
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
    address = {"API_HOST": LOOPBACK, "API_PORT": str(api_port)}
    yield _Program("api", ("api",), address, api_port)
    if options.simulated:
        past = ("--backfill-minutes", "0") if has_past else ()
        yield _Program("producer", ("producers", "simulate", *past), {}, None)


def _with_metrics(name: str, arguments: tuple[str, ...], settings: Mapping[str, str]) -> _Program:
    port = free_port()
    return _Program(name, arguments, {**settings, "METRICS_PORT": str(port)}, port)


def _unless_given(setting: str, value: str) -> dict[str, str]:
    """Return a setting with our value, unless the environment has another."""
    return {setting: os.environ.get(setting, value)}


def _ports(folder: Path, of_api: int | None) -> dict[str, int]:
    """Return the ports of the servers and of the API, which the next start prefers."""
    if of_api == 0:
        return {name: free_port() for name in _USUAL_PORTS}
    latest = folder / PORTS
    wished = _USUAL_PORTS | (json.loads(latest.read_bytes()) if latest.exists() else {})
    wished["api"] = of_api or wished["api"]
    ports = {name: free_port(port) for name, port in wished.items()}
    if of_api and ports["api"] != of_api:
        raise NotReadyError(f"port {of_api} is taken: choose another one for the API, or 0 for any")
    folder.mkdir(parents=True, exist_ok=True)
    latest.write_text(json.dumps(ports))
    return ports
