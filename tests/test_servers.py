"""Which servers the tests choose if Docker works, and if it answers but runs nothing."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcontainers.core.config import ConnectionMode, testcontainers_config

from infra.local.kafka.jars import NoKafkaError
from tests.compose import SERVICES
from tests.containers import NoContainerError
from tests.http_server import Handler, serving
from tests.servers import Kind, Taken, first_that_starts, take_store


@contextlib.contextmanager
def starting(name: str) -> Iterator[Taken]:
    yield Taken(name, name, "")


@contextlib.contextmanager
def refusing(why: Exception) -> Iterator[Taken]:
    raise why
    yield


@contextlib.contextmanager
def docker_that_runs_nothing() -> Iterator[str]:
    """Yield the address of a Docker that reports its version, and refuses everything else."""

    class Engine(Handler):
        def answer(self) -> None:
            answers = {"version": {"ApiVersion": "1.41"}, "_ping": "OK"}
            found = answers.get(self.path.rpartition("/")[2])
            body = json.dumps(found or {"message": "no space left"}).encode()
            self.send(200 if found else 500, body, Content_Type="application/json")

    with serving(Engine) as address:
        yield f"tcp://{address}"


def test_the_first_kind_that_starts_is_taken_and_the_reasons_are_named() -> None:
    kinds: list[Kind] = [
        refusing(NoContainerError("Docker runs no kafka")),
        refusing(NoKafkaError("there is no Java")),
        starting("tansu"),
        starting("never"),
    ]
    with contextlib.ExitStack() as stack:
        taken = first_that_starts(stack, *kinds)
    assert taken == Taken("tansu", "tansu", "Docker runs no kafka; there is no Java")


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (ConnectionMode.docker_host, f"Docker runs no {SERVICES['redis']['image']}: 500 Server"),
        (ConnectionMode.gateway_ip, "the tests run in a container themselves: "),
    ],
)
def test_a_docker_that_answers_but_cannot_run_containers_is_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: ConnectionMode, says: str
) -> None:
    for name in ("REDIS_URL", "TICKREC_TEST_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(testcontainers_config, "connection_mode_override", mode)
    with docker_that_runs_nothing() as address, contextlib.ExitStack() as stack:
        monkeypatch.setenv("DOCKER_HOST", address)
        taken = take_store(stack, tmp_path)
        assert taken.product.startswith("Valkey")
    assert taken.why.startswith(says)
