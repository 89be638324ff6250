"""Broker and store on their default ports, for programs without settings."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from infra.local.kafka.jars import NoKafkaError
from infra.local.kafka.server import kafka
from infra.local.process import Server, is_free, running
from infra.local.store import valkey
from infra.local.tansu import tansu
from tests.settings.stack import Servers

BROKER_PORT: Final = 9092
STORE_PORT: Final = 6379
DEFAULT_PORTS: Final = (BROKER_PORT, STORE_PORT, 8000, 9101, 9102)


@contextlib.contextmanager
def default_servers(cluster_url: str, folder: Path) -> Iterator[Servers]:
    """Run a broker and a store where programs look for them; skip if something else is there."""
    if taken := [port for port in DEFAULT_PORTS if not is_free(port)]:
        pytest.skip(f"something listens on the default ports {taken}")
    broker, store = _broker(folder), valkey(STORE_PORT, folder)
    with running(store), running(broker):
        yield Servers(broker.address, store.address, cluster_url)


def _broker(folder: Path) -> Server:
    try:
        return kafka(BROKER_PORT, folder)
    except NoKafkaError:
        return tansu(BROKER_PORT, folder)
