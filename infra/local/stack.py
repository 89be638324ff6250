"""The parts of the local stack: each process's command, settings, port and log."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx

from infra.local.kafka.secured import Security, secured_kafka
from infra.local.kafka.server import kafka
from infra.local.process import LOOPBACK, Command, NotReadyError, Server, free_port, is_free
from infra.local.store import valkey
from infra.local.tansu import tansu
from runtime.archive.given import given_archive
from runtime.kafka.rights import User
from runtime.settings import SharedSettings, read_settings

BrokerKind = Literal["tansu", "kafka", "kafka-secured", "own"]
"""`own` starts none: the programs' settings give its address."""

_TRAIN_EVERY_S: Final = "5"
_COUNTS_FLUSH_EVERY_S: Final = "1"
"""Frequent: users of a local stack want to see their events count."""

_ARCHIVE_FLUSH_EVERY_S: Final = "10"

_PRODUCER: Final = "producer"
_ARCHIVE: Final = "archive"
_MAINTENANCE: Final = "maintenance"
"""For the archive."""
_USERS: Final[Mapping[str, User]] = {
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
_CANARY_RULES: Final = Path(__file__).with_name("canaries.toml")


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


def compose(
    folder: Path,
    broker: BrokerKind,
    workers: int,
    api_port: int | None,
    *,
    canaries: bool = False,
    simulated: bool = True,
    archived: bool = False,
) -> Stack:
    """Return a stack with its logs, and data if any, in `folder`.

    Args:
        folder: absolute.
        broker: which one to run.
        workers: how many worker processes, at least one.
        api_port: 0: any that is free, as for all others; None: 8000 or, if that is taken, another.
        canaries: whether new generations are tried on some users first, for some seconds.
        simulated: whether quotes and events are simulated.
        archived: whether an archive runs, in `folder` unless the environment says where, and the
            API reads it.

    Raises:
        NoKafkaError: Apache Kafka was requested, but is unavailable here.
        NotReadyError: a server listens on the API's port already.
    """
    given = read_settings(SharedSettings)
    namespace = given.namespace
    store = valkey(free_port(), folder)
    log, security = _started(broker, folder, given)
    shared = {"REDIS_URL": store.address, "NAMESPACE": namespace}
    shared |= {"KAFKA_BOOTSTRAP_SERVERS": log.address} if log else {}
    if archived and given_archive() is None:
        shared |= {"ARCHIVE_WAREHOUSE": str(folder / "archive")}
    left_out = set() if simulated else {_PRODUCER}
    left_out |= set() if archived else {_ARCHIVE, _MAINTENANCE}
    programs, urls = [], {}
    for name, arguments, settings, port in _programs(workers, api_port, canaries=canaries):
        if name in left_out:
            continue
        login = security.environment(_USERS[arguments[0]]) if security else {}
        programs.append(_python(name, arguments, shared | login | settings, folder))
        if port is not None:
            urls[name] = f"http://{LOOPBACK}:{port}"
    login = security.environment("topics") if security else {}
    topics = _python("topics", ("operations.topics",), shared | login, folder)
    return Stack(namespace, store, log, topics, tuple(programs), urls)


def _started(
    broker: BrokerKind, folder: Path, settings: SharedSettings
) -> tuple[Server | None, Security | None]:
    """Return the broker to start, and its users, if it has any."""
    if broker == "own":
        return None, None
    if broker == "kafka-secured":
        return secured_kafka(free_port(), folder, settings.namespace, settings.kafka.prefix)
    return (kafka if broker == "kafka" else tansu)(free_port(), folder), None


def _programs(
    workers: int, api_port: int | None, *, canaries: bool
) -> list[tuple[str, tuple[str, ...], dict[str, str], int | None]]:
    """Return name, arguments of `python -m`, settings and port of each program, in order."""
    worker_ports, trainer_port, archive_port, maintenance_port, api_port = (
        [free_port() for _ in range(workers)],
        free_port(),
        free_port(),
        free_port(),
        _port_of_the_api(api_port),
    )
    trainer = {
        "METRICS_PORT": str(trainer_port),
        "TRAIN_EVERY_SECONDS": os.environ.get("TRAIN_EVERY_SECONDS", _TRAIN_EVERY_S),
    }
    trainer |= {"CANARY_RULES": str(_CANARY_RULES)} if canaries else {}
    worker = {
        "COUNTS_FLUSH_INTERVAL_S": os.environ.get("COUNTS_FLUSH_INTERVAL_S", _COUNTS_FLUSH_EVERY_S)
    }
    archive = {
        "METRICS_PORT": str(archive_port),
        "ARCHIVE_FLUSH_INTERVAL_S": os.environ.get(
            "ARCHIVE_FLUSH_INTERVAL_S", _ARCHIVE_FLUSH_EVERY_S
        ),
    }
    maintenance = {"METRICS_PORT": str(maintenance_port)}
    api = {"API_HOST": LOOPBACK, "API_PORT": str(api_port)}
    return [
        *(
            (f"worker-{n}", ("stream_processors",), worker | {"METRICS_PORT": str(port)}, port)
            for n, port in enumerate(worker_ports, start=1)
        ),
        ("trainer", ("trainer", "run"), trainer, trainer_port),
        (_ARCHIVE, ("archive", "run"), archive, archive_port),
        (_MAINTENANCE, ("archive", "maintain"), maintenance, maintenance_port),
        ("api", ("api",), api, api_port),
        (_PRODUCER, ("producers", "simulate"), {}, None),
    ]


def _port_of_the_api(wished: int | None) -> int:
    if not wished:
        return free_port(_USUAL_API_PORT if wished is None else 0)
    if not is_free(wished):
        raise NotReadyError(f"port {wished} is taken: choose another one for the API, or 0 for any")
    return wished


def _python(
    name: str, arguments: tuple[str, ...], settings: Mapping[str, str], folder: Path
) -> Command:
    argv = (sys.executable, "-m", *arguments)
    return Command(name=name, argv=argv, log=folder / f"{name}.log", environment=settings)
