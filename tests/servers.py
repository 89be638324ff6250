"""Chooses the tests' broker and store: the first available kind."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from contracts.topics import ALL
from infra.local import store as stores
from infra.local.kafka.jars import NoKafkaError
from infra.local.process import LOOPBACK, Server, free_port, running
from infra.local.tansu import tansu
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from tests.containers import NoContainerError, kafka_container, published_at, redis_container
from tests.guarded import Guarded, guarded_setup

SESSION = f"tickrec-test-{uuid.uuid4().hex[:8]}"
"""The prefix of this process's test namespaces."""
OURS = frozenset(topic.name for topic in ALL)


class Taken(NamedTuple):
    """A server that the tests run against."""

    address: str
    product: str
    why: str
    guarded: Guarded | None = None
    """where its users log in, if it knows any"""


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
def _redis_container(folder: Path) -> Iterator[Taken]:
    with redis_container(folder / "store.log") as url:
        yield Taken(url, stores.product(url), "Docker answers")


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
