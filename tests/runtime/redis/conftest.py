"""Servers and programs that the files of this folder share; each is started once a file."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.keyspace import Keyspace
from contracts.topics import ALL, STREAMED
from infra.local.process import free_port, start, stop
from operations.topics import ensure, noted_partitions
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.runtime.redis.guarded import Guarded, guarded

NAMESPACE = "live"
"""That of the documented rules."""


class Programs(Pipeline):
    """Programs, and what they say."""

    def __init__(self, broker: str, store: Guarded, topology: Topology, folder: Path) -> None:
        super().__init__(broker, store.url("admin"), NAMESPACE, topology, folder)
        self.guarded = store

    @contextlib.contextmanager
    def simulating(self) -> Iterator[None]:
        few = ("--instruments", "60", "--users", "200")
        command = self.command("producer", "producers", "simulate", *few)
        process = start(command)
        try:
            yield
        finally:
            stop((process, command))

    def note_topics(self) -> None:
        self.run("operations.topics", redis_url=self.guarded.url("topics"))

    def working(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        return self.worker(redis_url=self.guarded.url("worker"))

    def train(self) -> None:
        """Train on what there is, keeping the generation before."""
        url = self.guarded.url("trainer")
        assert "trained" in self.run("trainer", "once", redis_url=url, keep_generations=1)

    def refused(self, *arguments: str, url: str) -> str:
        """Return what a program says that ends by itself, as it cannot go on."""
        often = {"flush_interval_s": "0.2", "metrics_port": free_port()}
        return self.run(*arguments, exits=1, redis_url=url, **often)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")


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
