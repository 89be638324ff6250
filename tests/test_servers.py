"""Which servers the tests choose if Docker works, and if it answers but runs nothing."""

import contextlib
from collections.abc import Iterator

from infra.local.kafka.jars import NoKafkaError
from tests.containers import NoContainerError
from tests.servers import Kind, Taken, first_that_starts


@contextlib.contextmanager
def starting(name: str) -> Iterator[Taken]:
    yield Taken(name, name, "")


@contextlib.contextmanager
def refusing(why: Exception) -> Iterator[Taken]:
    raise why
    yield


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
