"""Chooses the tests' broker and store: the first available kind.

Containers have the images of docker-compose.yml, with the settings there.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from docker.errors import DockerException
from testcontainers.core.config import ConnectionMode
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from contracts.topics import ALL
from infra.local import store as stores
from infra.local.kafka.jars import NoKafkaError
from infra.local.process import LOOPBACK, Server, free_port, running
from infra.local.tansu import tansu
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from tests.compose import SERVICES, filled_in
from tests.guarded import Guarded, GuardedSetup, guarded_setup
from tests.patience import PATIENCE_S, comes

_POLL_S: Final = 0.1
_REDIS_PORT: Final = 6379
_FAILURES: Final = (DockerException, OSError, RuntimeError)
"""Errors of Docker, the connection to it and testcontainers."""


class Taken(NamedTuple):
    """A server that the tests run against."""

    address: str
    product: str
    why: str
    guarded: Guarded | None = None
    """where its users log in, if it knows any"""


class NoContainerError(RuntimeError):
    """Docker does not answer, or cannot run a container."""


def published_at() -> str:
    """Return the host where ports of containers are published.

    Raises:
        NoContainerError: no Docker answers, or its published ports are out of reach.
    """
    try:
        docker = DockerClient()
        with contextlib.closing(docker.client):
            docker.client.ping()
            host, mode = docker.host(), docker.get_connection_mode()
    except DockerException as refused:
        raise NoContainerError("no Docker answers") from refused
    if mode is not ConnectionMode.docker_host:
        raise NoContainerError(
            "the tests run in a container themselves: if it shares the network of Docker's host, "
            "set TESTCONTAINERS_CONNECTION_MODE to docker_host"
        )
    return host


@contextlib.contextmanager
def kafka_container(setup: GuardedSetup, log: Path) -> Iterator[str]:
    """Run Apache Kafka with users that log in; yield its description.

    It has docker-compose.yml's listeners, which are not published, and those of the setup. None is
    named SSL or SASL_...: the image would then ask for keys in Java's own formats.

    Raises:
        NoContainerError: it does not start.
    """
    service, guarded = SERVICES["kafka"], setup.guarded
    listeners = {"OWN": (guarded.own_address, "PLAINTEXT"), **setup.listeners}
    container = _container("kafka", _kafka_environment(setup.properties, listeners))
    # docker-compose.yml's own listeners are at the name that Compose gives the container.
    container.with_envs(**setup.environment).with_kwargs(hostname="kafka")
    for address, _ in listeners.values():
        container.with_bind_ports(_port(address), _port(address))
    for file in setup.files:
        container.with_copy_into_container(file, str(file))
    client = brokers.Admin(plain(guarded.own_address))
    with _running(container, lambda: brokers.answers(client), log):
        yield f"Apache Kafka, image {service['image']}"


@contextlib.contextmanager
def _redis_container(folder: Path) -> Iterator[Taken]:
    """Run Redis; raises as `kafka_container`."""
    port = free_port()
    url = f"redis://{published_at()}:{port}/0"
    container = _container("redis", {}).with_command(SERVICES["redis"]["command"])
    container.with_bind_ports(_REDIS_PORT, port)
    with _running(container, lambda: stores.answers(url), folder / "store.log"):
        yield Taken(url, stores.product(url), "Docker answers")


def _container(service: str, environment: dict[str, str]) -> DockerContainer:
    # A call that is interrupted would leave an unknown container behind.
    patience = {"timeout": int(PATIENCE_S)}
    return DockerContainer(SERVICES[service]["image"], patience, env=environment)


def _kafka_environment(
    properties: dict[str, str], listeners: dict[str, tuple[str, str]]
) -> dict[str, str]:
    """Return docker-compose.yml's settings of Kafka, with more of them and more listeners."""
    environment = {
        name: filled_in(str(value)) for name, value in SERVICES["kafka"]["environment"].items()
    }
    more = {
        "KAFKA_LISTENERS": [f"{name}://:{_port(of)}" for name, (of, _) in listeners.items()],
        "KAFKA_ADVERTISED_LISTENERS": [f"{name}://{of}" for name, (of, _) in listeners.items()],
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": [
            f"{name}:{protocol}" for name, (_, protocol) in listeners.items()
        ],
    }
    for name, values in more.items():
        environment[name] = ",".join([environment[name], *values])
    return environment | {_variable(name): value for name, value in properties.items()}


def _variable(name: str) -> str:
    """Return the image's variable for a property: KAFKA_A_B for a.b, ___ for a dash."""
    return "KAFKA_" + name.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


@contextlib.contextmanager
def _running(container: DockerContainer, answers: Callable[[], bool], log: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(container)
            _await_answer(container, answers, log)
        except _FAILURES as refused:
            why = str(refused).partition("\n")[0]
            raise NoContainerError(f"Docker runs no {container.image}: {why}") from refused
        yield


def _await_answer(container: DockerContainer, answers: Callable[[], bool], log: Path) -> None:
    def is_over() -> bool:
        container.reload()
        return container.status != "running" or answers()

    comes(is_over, every_s=_POLL_S)
    if container.status != "running" or not answers():
        log.write_bytes(b"".join(container.get_logs()))
        raise NoContainerError(f"it is {container.status} and does not answer: see {log}")


SESSION = f"tickrec-test-{uuid.uuid4().hex[:8]}"
"""The prefix of this process's test namespaces."""
OURS = frozenset(topic.name for topic in ALL)

Kind = AbstractContextManager[Taken]


def first_that_starts(stack: ExitStack, *kinds: Kind) -> Taken:
    """Start the first available kind, until the stack closes.

    Its reason begins with why none of the earlier kinds was taken.
    """
    why: list[str] = []
    for kind in kinds:
        try:
            taken = stack.enter_context(kind)
        except (NoContainerError, NoKafkaError) as refused:
            why.append(str(refused))
        else:
            return taken._replace(why="; ".join([*why, taken.why] if taken.why else why))
    raise RuntimeError("; ".join(why))


def take_broker(stack: ExitStack, folder: Path) -> Taken:
    """Start a broker, or use the given one; see the docstring of `conftest`."""
    if address := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return stack.enter_context(_borrowed_broker(address))
    if os.environ.get("TICKREC_TEST_BROKER") == "tansu":
        asked = "TICKREC_TEST_BROKER asks for it"
        return stack.enter_context(_own(tansu(free_port(), folder), asked))
    return first_that_starts(
        stack, _kafka_container(folder), _kafka_jars(folder), _own(tansu(free_port(), folder))
    )


def take_store(stack: ExitStack, folder: Path) -> Taken:
    """Start a store, or use the given one; see the docstring of `conftest`."""
    if url := os.environ.get("REDIS_URL"):
        return stack.enter_context(_borrowed_store(url))
    if os.environ.get("TICKREC_TEST_STORE") == "redis-server":
        asked = "TICKREC_TEST_STORE asks for it"
        return stack.enter_context(_own(stores.redis_server(free_port(), folder), asked))
    return first_that_starts(
        stack, _redis_container(folder), _own(stores.valkey(free_port(), folder))
    )


@contextlib.contextmanager
def _own(server: Server, why: str = "") -> Iterator[Taken]:
    with running(server):
        yield Taken(server.address, server.product, why)


@contextlib.contextmanager
def _kafka_container(folder: Path) -> Iterator[Taken]:
    with (
        guarded_setup(folder, published_at()) as setup,
        kafka_container(setup, folder / "broker.log") as product,
    ):
        setup.guarded.add_users()
        yield Taken(setup.guarded.own_address, product, "Docker answers", setup.guarded)


@contextlib.contextmanager
def _kafka_jars(folder: Path) -> Iterator[Taken]:
    with guarded_setup(folder, LOOPBACK) as setup:
        server = setup.from_jars(folder)
        with running(server):
            setup.guarded.add_users()
            yield Taken(server.address, server.product, "", setup.guarded)


@contextlib.contextmanager
def _borrowed_broker(address: str) -> Iterator[Taken]:
    client = brokers.Admin(plain(address))
    if there := brokers.partitions_of(client).keys() & OURS:
        pytest.exit(
            f"the broker at {address} (KAFKA_BOOTSTRAP_SERVERS) has the topics "
            f"{', '.join(sorted(there))}, which the tests would delete: use another broker, "
            "or delete them yourself if nobody needs them",
            returncode=4,
        )
    product = "Tansu" if brokers.is_tansu(client) else "a Kafka-protocol broker"
    try:
        yield Taken(address, product, "KAFKA_BOOTSTRAP_SERVERS names it")
    finally:
        brokers.delete(client, brokers.partitions_of(client).keys() & OURS)


@contextlib.contextmanager
def _borrowed_store(url: str) -> Iterator[Taken]:
    with connect(url, "tests") as store:
        yield Taken(url, stores.product(url), "REDIS_URL names it")
        for key in store.scan_iter(match=f"{SESSION}-*", count=1000):
            store.delete(key)
