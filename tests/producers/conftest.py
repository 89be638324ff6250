"""Fixtures of the producers' tests: a plain consumer, and the program as a child process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from tests.patience import PATIENCE_S

ReadAll = Callable[[str, int], list[Message]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def reader() -> Iterator[Callable[[str], ReadAll]]:
    """A function that returns `read_all` of the broker at an address."""
    with ExitStack() as stack:

        def of(address: str) -> ReadAll:
            consumer = Consumer(
                {
                    "bootstrap.servers": address,
                    "group.id": "tests",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 10,
                }
            )
            stack.callback(consumer.close)
            return partial(_read_all, consumer)

        yield of


@pytest.fixture
def read_all(broker: str, reader: Callable[[str], ReadAll]) -> ReadAll:
    """A function that reads a topic from start to end, with a minimum number of records."""
    return reader(broker)


def _read_all(consumer: Consumer, topic: str, at_least: int) -> list[Message]:
    partitions = set(consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    records: list[Message] = []
    ended: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(records) < at_least or ended != partitions:
        assert time.monotonic() < deadline, f"{len(records)} of {at_least} records of {topic}"
        got = consumer.consume(10_000, timeout=0.1)
        ended |= {message.partition() for message in got if message.error()}
        records += [message for message in got if not message.error()]
    return records


@pytest.fixture
def start(broker: str) -> Iterator[Start]:
    """A function that starts `python -m producers` with some arguments and settings."""
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
