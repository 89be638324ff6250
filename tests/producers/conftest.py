"""Fixtures of the producers' tests: a reader of topics, and the program as a child process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from confluent_kafka import Message

from runtime.kafka.config import plain
from tests.kafka_log import records_of
from tests.patience import eventually

ReadAll = Callable[[str, int], list[Message]]
Start = Callable[..., subprocess.Popen[str]]


def records_at(address: str, topic: str, at_least: int) -> list[Message]:
    """Return the records of a topic, from start to end, once there are so many."""
    found: list[Message] = []

    def are_enough() -> bool:
        found[:] = records_of(plain(address), topic)
        return len(found) >= at_least

    eventually(are_enough, f"{at_least} records of {topic}")
    return found


@pytest.fixture
def read_all(broker: str) -> ReadAll:
    return partial(records_at, broker)


@pytest.fixture
def start(broker: str) -> Iterator[Start]:
    children: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **settings: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "producers", *arguments],
            env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker, **settings},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()
