"""After a restart of Kafka, /v1/pipeline reports the workers' progress within seconds."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from api.health.log_ends import LogEnds, LogWatch
from contracts.keyspace import Keyspace
from contracts.topics import STREAMED
from infra.local.kafka.jars import NoKafkaError
from infra.local.kafka.server import kafka
from infra.local.process import free_port
from operations.topics import ensure
from runtime.kafka.broker import Admin
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.chaos.servers.restartable import Restartable, started
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

RESTARTS = 3
"""Each raises the epoch of every leader."""
SECONDS = 30.0
"""Long for a client that refreshes metadata every three seconds, short for every 15 minutes."""


@pytest.fixture
def broker_of_its_own(tmp_path: Path) -> Iterator[Restartable]:
    try:
        server = Restartable(kafka(free_port(), tmp_path / "kafka"))
    except NoKafkaError as why:
        pytest.skip(f"Tansu's leaders have no epochs: {why}")
    with started(server):
        yield server


async def test_all_log_ends_are_known_again_within_seconds_of_kafkas_restart(
    broker_of_its_own: Restartable, store_url: str, namespace: str
) -> None:
    server = broker_of_its_own
    topology = Topology(**{topic.name: 2 for topic in STREAMED})
    with connect(store_url, "tests") as store:
        client = Admin(plain(server.address))
        ensure(client, store, Keyspace(namespace), asdict(topology))
    watch = LogWatch(plain(server.address), time.monotonic)
    try:
        await known(watch, topology, PATIENCE_S)
        for _ in range(RESTARTS):
            await asyncio.to_thread(restart, server)
            await known(watch, topology, SECONDS)
    finally:
        await watch.aclose()


def restart(server: Restartable) -> None:
    server.stop()
    server.start()
    server.await_ready()


async def known(watch: LogWatch, topology: Topology, within_s: float) -> None:
    """Wait until the ends are known; poll as often as a person who looks at the page."""
    start_s, answer = time.monotonic(), LogEnds()
    while time.monotonic() - start_s < within_s:
        answer = await watch.ends(topology)
        if answer.failure is None:
            print(f"known after {time.monotonic() - start_s:.1f} s")
            return
        await asyncio.sleep(1)
    pytest.fail(f"not known within {within_s:g} s: {answer.failure}")
