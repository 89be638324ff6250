"""Broker and store as containers: the images of docker-compose.yml, with the settings there."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from docker.errors import DockerException
from testcontainers.core.config import ConnectionMode
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from infra.local import store as stores
from infra.local.process import free_port
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from tests.compose import SERVICES, filled_in
from tests.guarded import GuardedSetup
from tests.patience import PATIENCE_S, comes

_POLL_S: Final = 0.1
_REDIS_PORT: Final = 6379
_FAILURES: Final = (DockerException, OSError, RuntimeError)
"""Errors of Docker, the connection to it and testcontainers."""


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
def redis_container(log: Path) -> Iterator[str]:
    """Run Redis; yield its URL.

    Raises:
        NoContainerError: no Docker answers, or it does not start.
    """
    port = free_port()
    url = f"redis://{published_at()}:{port}/0"
    container = _container("redis", {}).with_command(SERVICES["redis"]["command"])
    container.with_bind_ports(_REDIS_PORT, port)
    with _running(container, lambda: stores.answers(url), log):
        yield url


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
