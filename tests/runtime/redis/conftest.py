"""Servers that the files of this folder share; each is started once a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.keyspace import Keyspace
from contracts.topics import ALL, STREAMED
from operations.topics import ensure, noted_partitions
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.runtime.redis.guarded import Guarded, guarded
from tests.runtime.redis.programs import NAMESPACE, Programs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A store that encrypts, asks for certificates, and has the documented users."""
    with guarded(tmp_path_factory.mktemp("guarded")) as store:
        yield store


@pytest.fixture(scope="module")
def topics_of_file(broker: str, store: Guarded) -> Topology:
    """All topics recreated and empty, two partitions each."""
    client, keyspace = brokers.Admin(plain(broker)), Keyspace(NAMESPACE)
    ours = {topic.name for topic in ALL}
    brokers.delete(client, brokers.partitions_of(client).keys() & ours)
    with connect(store.url("admin"), "tests") as admin:
        ensure(client, admin, keyspace, {topic.name: 2 for topic in STREAMED})
        return Topology(**noted_partitions(admin, keyspace))


@pytest.fixture
def programs(
    store: Guarded, broker: str, topics_of_file: Topology, tmp_path: Path
) -> Iterator[Programs]:
    """Programs on an empty store that knows the topics."""
    programs = Programs(broker, store, topics_of_file, tmp_path)
    programs.store.flushall()
    programs.store.acl_log_reset()
    programs.store.hset(programs.keyspace.topics(), mapping=topics_of_file.as_hash())
    yield programs
    programs.store.close()
