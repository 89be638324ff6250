"""An archive on the session's broker: topics under a prefix of a test's own, and a warehouse."""

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from archive.archiver import Archiver
from archive.reading.broker import Broker
from archive.service import State
from archive.settings import ArchiveSettings
from archive.writing.table_writer import TableWriter
from contracts.archive import QUOTES_TABLE, TABLES, ArchiveTable
from contracts.topics import Topic
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import open_table
from runtime.kafka import broker as brokers
from runtime.kafka.config import KafkaConfig
from tests.archive.tables import Tables
from tests.patience import PATIENCE_S

PARTITIONS: Final = 2
GOOD_FOR_S: Final = 1_800.0
Message = tuple[str, bytes, bytes | None]
"""Topic, key, value."""


def make_topics(kafka: KafkaConfig, topics: Sequence[Topic]) -> None:
    brokers.create(
        brokers.Admin(kafka),
        [
            NewTopic(
                kafka.topic(topic.name),
                PARTITIONS,
                config={"message.timestamp.type": "LogAppendTime"}
                if topic.is_stamped_by_broker
                else {},
            )
            for topic in topics
        ],
    )


def delete_topics(kafka: KafkaConfig, topics: Sequence[Topic]) -> None:
    client = brokers.Admin(kafka)
    there = brokers.partitions_of(client).keys()
    brokers.delete(client, there & {kafka.topic(topic.name) for topic in topics})


@dataclass
class Setup:
    kafka: KafkaConfig
    config: ArchiveConfig
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def catalog(self) -> Catalog:
        return open_catalog(self.config)

    @property
    def tables(self) -> Tables:
        return Tables(self.catalog, self.config)

    def settings(self, **other: Any) -> ArchiveSettings:
        quick = {"archive_flush_interval_s": 0.2}
        return ArchiveSettings(kafka=self.kafka, archive=self.config, **quick | other)

    def environment(self, **other: str) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_PREFIX": self.kafka.prefix,
            "ARCHIVE_WAREHOUSE": self.config.warehouse,
            "METRICS_PORT": "0",
        } | other

    def publish(self, messages: Sequence[Message], **options: Any) -> None:
        producer = Producer(
            self.kafka.librdkafka() | {"partitioner": "murmur2", "linger.ms": 1} | options
        )
        for topic, key, value in messages:
            producer.produce(self.kafka.topic(topic), key=key, value=value)
        assert producer.flush(PATIENCE_S) == 0

    def found(self, table: ArchiveTable) -> Table:
        return self.tables.found(table)

    def rows(self, table: ArchiveTable, what: str = "*") -> list[tuple[Any, ...]]:
        return self.tables.rows(table, what)

    def sizes(self) -> list[float]:
        """Return the sizes of all quotes, which are their numbers."""
        return sorted(size for (size,) in self.rows(QUOTES_TABLE, "size"))

    def covered(self, table: ArchiveTable = QUOTES_TABLE) -> dict[int, int]:
        return {p: at.next for p, at in self.tables.positions(table).items()}

    def opened(self, tables: Sequence[ArchiveTable] = TABLES) -> list[TableWriter]:
        its = self.tables
        for table in tables:
            open_table(*its, table)
        return [TableWriter(its.stored(table), GOOD_FOR_S) for table in tables]

    @contextmanager
    def running(self, tables: Sequence[ArchiveTable] = TABLES, **other: Any) -> Iterator["Running"]:
        stop, state, writers = threading.Event(), State(), self.opened(tables)
        archiver = Archiver(self.settings(**other), writers, Broker(self.kafka), state, stop)
        running = Running(archiver, state, writers[0])
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            yield running
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@dataclass
class Running:
    archiver: Archiver
    state: State
    writer: TableWriter
    """of the first table"""
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.archiver.run()
        except Exception as error:  # noqa: BLE001 (the test looks at it)
            self.error = error

    def read(self) -> int:
        """Return up to where the partitions of the first table were read, summed up."""
        buffer = self.writer.buffer
        places = [buffer.position(partition) for partition in buffer.partitions]
        return sum(place.next for place in places if place is not None)


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    """All tables, empty, without Kafka."""
    config = ArchiveConfig(warehouse=str(tmp_path))
    catalog = open_catalog(config)
    for table in TABLES:
        open_table(catalog, config, table)
    yield Tables(catalog, config)
    catalog.close()


@pytest.fixture
def setup(broker: str, tmp_path: Path) -> Iterator[Setup]:
    """Empty topics of two partitions each, and an empty warehouse."""
    kafka = KafkaConfig(bootstrap_servers=broker, prefix=f"archive-{uuid.uuid4().hex[:8]}.")
    topics = [table.topic for table in TABLES]
    make_topics(kafka, topics)
    yield Setup(kafka, ArchiveConfig(warehouse=str(tmp_path / "warehouse")))
    delete_topics(kafka, topics)
