"""Whole programs against a real broker and store, started as their users start them.

- `pipeline` (function): recreated topics, its own namespace, and methods to start workers, to
  publish, and to wait until everything published is in Redis.
"""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
import redis
from confluent_kafka import Producer

from contracts.bars import BarValue
from contracts.keyspace import NEWEST_FIELD, NEXT_FIELD, Keyspace
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER, instrument_partition
from contracts.topics import INTERACTIONS, QUOTES, STREAMED, Topic
from infra.local.process import Command, Server, free_port, running, start, stop
from runtime.kafka.broker import log_ends
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.kafka_log import records_of
from tests.oracles.gram import gram_of_histories, stored_once
from tests.patience import PATIENCE_S, answers, eventually

DATA = Path(__file__).parents[3] / "shared" / "data"
WAIT_S = PATIENCE_S

_bar = msgspec.json.Decoder(BarValue)


class Pipeline:
    """The programs of one test, and their shared resources."""

    def __init__(
        self, broker: str, store_url: str, namespace: str, topology: Topology, folder: Path
    ) -> None:
        self.broker = broker
        self.kafka = plain(broker)
        self.namespace = namespace
        self.topology = topology
        self.folder = folder
        self.keyspace = Keyspace(namespace)
        self.store = redis.Redis.from_url(store_url, decode_responses=True)
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": broker,
            "REDIS_URL": store_url,
            "NAMESPACE": namespace,
            "PYTHONUNBUFFERED": "1",
        }

    def command(self, name: str, *arguments: str, **settings: str | int) -> Command:
        return Command(
            name=name,
            argv=(sys.executable, "-m", *arguments),
            log=self.folder / f"{name}.log",
            environment={**self.environment, **{k.upper(): str(v) for k, v in settings.items()}},
        )

    @contextlib.contextmanager
    def worker(
        self, module: str = "stream_processors", **settings: str | int
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker; the test checks its exit code."""
        often = {"flush_interval_s": "0.2", "counts_flush_interval_s": "0.2"}
        own: dict[str, str | int] = {"metrics_port": free_port(), **often}
        command = self.command("worker", module, **(own | settings))
        process = start(command)
        try:
            yield process
        finally:
            stop((process, command))

    def run(self, *arguments: str, exits: int = 0, **settings: str | int) -> str:
        """Run a program to its end, with that exit code; return what it printed."""
        command = self.command(arguments[0], *arguments, **settings)
        process = start(command)
        code = process.wait(WAIT_S)
        said = command.log.read_text()
        assert code == exits, f"{arguments} exited with {code}:\n{said[-3000:]}"
        return said

    @contextlib.contextmanager
    def api(self, **settings: str | int) -> Iterator[str]:
        """Run the API, with limits that suit a busy machine; yield its address."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        command = self.command("api", "tests.api.patient", api_port=port, **settings)
        with running(Server(command, address, "api", lambda: answers(f"{address}/health/ready"))):
            yield address

    def publish(self, messages: Iterable[Quote | Interaction]) -> None:
        self.publish_raw(
            ((QUOTES if isinstance(m, Quote) else INTERACTIONS).name, key_of(m), encode(m), None)
            for m in messages
        )

    def publish_raw(
        self, records: Iterable[tuple[str, bytes | None, bytes | None, int | None]]
    ) -> None:
        """Publish (topic, key, value, partition or None)."""
        producer = Producer(
            {
                "bootstrap.servers": self.broker,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "enable.idempotence": True,
                "linger.ms": 5,
            }
        )
        for topic, key, value, partition in records:
            where = {} if partition is None else {"partition": partition}
            while True:
                try:
                    producer.produce(self.kafka.topic(topic), value=value, key=key, **where)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(PATIENCE_S) == 0

    def position(self, topic: Topic, partition: int) -> int:
        """Return the next offset that Redis has."""
        return int(self.store.hget(self.keyspace.position(topic, partition), NEXT_FIELD) or 0)

    def wait_until_folded(self, topics: Iterable[Topic] = STREAMED) -> None:
        """Wait until the positions in Redis are the logs' ends.

        In the order of the pipeline: once the interactions are folded, no more changes follow.
        """
        for topic in topics:
            ends = self._ends(topic)

            def is_folded(topic: Topic = topic, ends: dict[int, int] = ends) -> bool:
                positions = {p: self.position(topic, p) for p in ends}
                if any(positions[p] > end for p, end in ends.items()):
                    # The broker marks the end of a transaction after it has answered, for one.
                    ends.update(self._ends(topic))
                return positions == ends

            eventually(is_folded, f"{topic.name} folded up to {ends}, see {self.folder}")

    def _ends(self, topic: Topic) -> dict[int, int]:
        return log_ends(self.kafka, topic.name, self.topology.of(topic))

    def wait_until_claimed(self) -> None:
        """Wait until every partition is claimed: one claimed later would restart."""
        keys = [
            self.keyspace.position(topic, partition)
            for topic in STREAMED
            for partition in range(self.topology.of(topic))
        ]
        eventually(
            lambda: all(self.store.hexists(key, "epoch") for key in keys), "all partitions claimed"
        )

    def wait_for_position(self, topic: Topic, at_least: int) -> None:
        """Wait until so many records of a topic are folded, over all partitions."""
        partitions = range(self.topology.of(topic))
        eventually(
            lambda: sum(self.position(topic, p) for p in partitions) >= at_least,
            f"{at_least} records of {topic.name} folded",
            every_s=0.005,
        )

    def bars(self, instrument: int) -> dict[int, BarValue]:
        """Return an instrument's bars in Redis, by the start of their minute in epoch seconds."""
        partition = instrument_partition(instrument, self.topology.quotes)
        values = self.store.hgetall(self.keyspace.bars(partition, instrument))
        values.pop(NEWEST_FIELD, None)
        return {int(start_s): _bar.decode(value) for start_s, value in values.items()}

    def gram(self) -> dict[tuple[int, int], float]:
        """Return every count in Redis that is not 0, by row and column."""
        entries = {}
        for partition in range(self.topology.cooccurrences):
            for item in self.store.smembers(self.keyspace.items(partition)):
                row = self.store.hgetall(self.keyspace.cooc(partition, int(item)))
                row.pop("off")
                entries.update({(int(item), int(j)): float(v) for j, v in row.items() if float(v)})
        return entries

    def gram_of_histories(self) -> dict[tuple[int, int], float]:
        """Return the counts that Redis must have by its histories."""
        histories = []
        for key in self.store.scan_iter(f"{self.namespace}:history:*"):
            history = self.store.hgetall(key)
            history.pop("off")
            affinities = {int(i): float(json.loads(of)["r"]) for i, of in history.items()}
            histories.append({item: r for item, r in affinities.items() if r > 0})
        return stored_once(gram_of_histories(histories))

    def note_topics(self) -> None:
        """Note the topics' partitions in a store that does not have them."""
        self.store.hset(self.keyspace.topics(), mapping=self.topology.as_hash())

    def empty_store(self) -> None:
        """Delete all that the programs keep in Redis, except the partitions of the topics."""
        for key in self.store.scan_iter(f"{self.namespace}:*"):
            self.store.delete(key)
        self.note_topics()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(WAIT_S)


def dead_letters(broker: str, topic: str) -> list[tuple[bytes | None, Mapping[str, bytes]]]:
    letters = records_of(plain(broker), f"{topic}.dead-letters")
    return [(letter.value(), dict(letter.headers())) for letter in letters]


@pytest.fixture
def pipeline(
    broker: str, store_url: str, namespace: str, topology: Topology, tmp_path: Path
) -> Iterator[Pipeline]:
    """Recreated topics and a separate namespace."""
    pipeline = Pipeline(broker, store_url, namespace, topology, tmp_path)
    yield pipeline
    pipeline.store.close()
