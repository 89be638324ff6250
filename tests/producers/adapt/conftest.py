"""Fixtures of the tests of `adapt`: topics of a company's own, and the program as a process."""

import contextlib
import json
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
import pytest
from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
)
from confluent_kafka.admin import NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.messages import Quote
from contracts.topics import INSTRUMENTS, QUOTES
from infra.local.maven import NoJarsError
from infra.local.process import Command, Server, free_port, running
from producers.adapt import command
from producers.adapt.adapter import Adapter
from producers.adapt.catalog import Symbols
from producers.adapt.mapping import read_mapping
from producers.adapt.settings import AdaptSettings
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.kafka_log import records_of
from tests.patience import PATIENCE_S, eventually
from tests.registry.server import registry

PARTITIONS: Final = 3
MOST_BYTES: Final = 4 * 1024**2
Keyed = tuple[bytes | None, bytes | None]
TICKS: Final = """
[[sources]]
topic = "{topic}"
into = "quotes"
example = '{{"sym": "AAPL", "bid": 15.4, "ask": 15.5, "at": 1795731420}}'
[sources.fields]
instrument_id.symbol = "sym"
price.mean = ["bid", "ask"]
ts = {{ path = "at", unit = "s" }}
"""


class Company:
    """Topics of a company's own, and copies of `adapt` that read them."""

    def __init__(self, broker: str, folder: Path) -> None:
        self.kafka = plain(broker)
        self.login = self.kafka
        self.folder = folder
        self.prefix = f"shop-{uuid.uuid4().hex[:8]}"
        self.topics: list[str] = []
        self.mapping = folder / "mapping.toml"
        self._producer = Producer(
            {"bootstrap.servers": broker, "linger.ms": 5, "message.max.bytes": MOST_BYTES}
        )

    def topic(self, name: str) -> str:
        topic = f"{self.prefix}.{name}"
        config = {"max.message.bytes": str(MOST_BYTES)}
        brokers.create(brokers.Admin(self.kafka), [NewTopic(topic, PARTITIONS, 1, config=config)])
        self.topics.append(topic)
        return topic

    def delete_topics(self) -> None:
        brokers.delete(brokers.Admin(self.kafka), self.topics)

    def publish(self, topic: str, records: Iterable[Keyed]) -> None:
        """Publish records with librdkafka's own partitioner, as such a company may do."""
        for key, value in records:
            self._producer.produce(topic, value, key)
        assert self._producer.flush(PATIENCE_S) == 0

    def map(self, text: str) -> None:
        self.mapping.write_text(f'group = "{self.prefix}"\n{text}')

    def command(self, instance: str, **settings: str) -> Command:
        return Command(
            name=instance,
            argv=(sys.executable, "-m", "producers", "adapt", "--mapping", str(self.mapping)),
            log=self.folder / f"{instance}.log",
            environment={
                "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
                "ADAPT_INSTANCE": instance,
                "METRICS_PORT": str(free_port()),
                **settings,
            },
        )

    @contextlib.contextmanager
    def copies(self, *instances: str) -> Iterator[list[Future[None]]]:
        """Run copies for the block, in threads, which start sooner; each must end well."""
        ended = threading.Event()
        with ThreadPoolExecutor(len(instances)) as pool:
            try:
                runs = [pool.submit(self.run, instance, ended) for instance in instances]
                yield runs
            finally:
                ended.set()
        for run in runs:
            run.result()

    def run(self, instance: str, ended: threading.Event) -> None:
        with self.connected(instance) as copy:
            copy.run(ended.is_set, lambda: None, PATIENCE_S)

    @contextlib.contextmanager
    def connected(self, instance: str | None = None) -> Iterator[Adapter]:
        """Connect a copy as the program does, to be run by steps."""
        settings, symbols = AdaptSettings(kafka=self.login, adapt_instance=instance), Symbols()
        read = read_mapping(self.mapping)
        routes = command._routes(read, self.folder, settings, symbols)
        with command._connected(read, routes, symbols, settings) as copy:
            yield copy

    def wait_until_read(self) -> None:
        """Wait until the group has committed the ends of all topics."""
        ends = self.ends()

        def is_read() -> bool:
            found = committed(self)
            if any(offset > ends.get(of, 0) for of, offset in found.items()):
                # The broker marks the end of a transaction after it has answered.
                ends.update(self.ends())
            return found == ends

        eventually(is_read, f"{ends} committed, see {self.folder}")

    def ends(self) -> dict[tuple[str, int], int]:
        """Return the ends of the partitions that have records, by topic and number."""
        return {
            (topic, number): end
            for topic in self.topics
            for number, end in brokers.log_ends(self.kafka, topic, PARTITIONS).items()
            if end
        }

    def wait_until_shared_by(self, members: int) -> None:
        client = brokers.Admin(self.kafka)

        def shared() -> bool:
            asked = client.describe_consumer_groups([self.prefix])
            try:
                group = asked[self.prefix].result(PATIENCE_S)
            except KafkaException:  # the group is new, and has no coordinator yet
                return False
            return group.state == ConsumerGroupState.STABLE and len(group.members) == members

        eventually(shared, f"{members} copies, see {self.folder}", every_s=0.2)

    def wait_until_past(self, topic: str) -> None:
        """Wait until the group has committed what there is now of a topic, and records after it."""
        ends = brokers.log_ends(self.kafka, topic, PARTITIONS)
        eventually(
            lambda: all(committed(self).get((topic, p), 0) > end for p, end in ends.items()),
            f"{ends} committed, see {self.folder}",
            every_s=0.5,
        )

    def values(self, topic: str) -> list[bytes | None]:
        return [record.value() for record in records_of(self.kafka, topic)]


def committed(company: Company) -> dict[tuple[str, int], int]:
    asked = [ConsumerGroupTopicPartitions(company.prefix)]
    client = brokers.Admin(company.kafka)  # must live until it has answered
    answers = client.list_consumer_group_offsets(asked)
    found = answers[company.prefix].result(PATIENCE_S).topic_partitions
    return {(its.topic, its.partition): its.offset for its in found}


def ticks(n: int) -> list[tuple[bytes, bytes]]:
    """Ticks of ten symbols; each has rising times and prices."""
    return [tick(f"S{k % 10}", k) for k in range(n)]


def tick(symbol: str, k: int) -> tuple[bytes, bytes]:
    row = {"sym": symbol, "bid": k, "ask": k + 2, "at": 1_700_000_000 + k}
    return symbol.encode(), json.dumps(row).encode()


def catalog(company: Company, ids: Iterable[int] = range(10)) -> None:
    entries = [Instrument(i, symbol=f"S{i}", name=f"S{i}") for i in ids]
    company.publish(
        INSTRUMENTS.name,
        [(instrument_key(each.instrument_id), encode_instrument(each)) for each in entries],
    )


def quotes(company: Company) -> dict[int, list[Quote]]:
    found: dict[int, list[Quote]] = {}
    for value in company.values(QUOTES.name):
        quote = msgspec.json.decode(value, type=Quote)
        found.setdefault(quote.instrument_id, []).append(quote)
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    try:
        server = registry(free_port(), tmp_path_factory.mktemp("registry"))
    except NoJarsError as error:
        pytest.skip(str(error))
    with running(server):
        yield server


@pytest.fixture(scope="session")
def client(server: Server) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": server.address})


@pytest.fixture
def company(broker: str, tmp_path: Path) -> Iterator[Company]:
    """A company without topics."""
    company = Company(broker, tmp_path)
    yield company
    company.delete_topics()


@pytest.fixture
def topic(company: Company, topology: Topology) -> str:
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic))
    catalog(company)
    return topic
