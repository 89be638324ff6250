"""Topics of two partitions, larger ones that they are copied into, and their records."""

import contextlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from contracts.event_types import BUILT_IN
from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.keyspace import Keyspace
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER, instrument_partition, user_partition
from contracts.times import DAY_MS, MINUTE_MS
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import FEEDBACK, INSTRUMENTS, INTERACTIONS, QUOTES
from infra.local.process import start
from operations.repartition.copier import copy
from operations.repartition.progress import Copied
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import KafkaConfig
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.conftest import TopicsFactory
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S

EVENT_MS: Final = 1_629_061_628_123
INSTRUMENT_IDS: Final = range(40)
USERS: Final = [f"user {n}" for n in range(150)]
SIZES: Final = {"quotes": 3, "interactions": 5, "cooccurrences": 3, "instruments": 3}
Record = tuple[str, bytes | None, bytes | None, int | None]
"""topic, key, value, partition or None"""


class Grown(Pipeline):
    """The programs of a second namespace, at topics with a prefix."""

    def __init__(self, old: Pipeline, store_url: str) -> None:
        namespace, folder = f"{old.namespace}-grown", old.folder / "grown"
        super().__init__(old.broker, store_url, namespace, Topology(**SIZES), folder)
        self.kafka = KafkaConfig(bootstrap_servers=old.broker, prefix=f"{old.namespace}.")
        self.environment["KAFKA_PREFIX"] = self.kafka.prefix
        with connect(store_url, "tests") as store:
            ensure(brokers.Admin(self.kafka), store, Keyspace(namespace), SIZES)

    def copying(self) -> "subprocess.Popen[bytes]":
        """Start a copy of the old topics, which have no prefix."""
        return start(self.command("copy", "operations.repartition", "--from-prefix", ""))

    def copy(self) -> dict[str, Copied]:
        copied = copy(self.kafka, "", lambda *_: None)
        return {each.topic.name: each for each in copied}


@pytest.fixture
def old(
    broker: str, store_url: str, namespace: str, topics: TopicsFactory, tmp_path: Path
) -> Iterator[Pipeline]:
    """Topics of two partitions each, empty, and a namespace."""
    pipeline = Pipeline(broker, store_url, namespace, topics(), tmp_path)
    yield pipeline
    pipeline.store.close()


@pytest.fixture
def grown(old: Pipeline, store_url: str) -> Iterator[Grown]:
    """More partitions, empty too, and another namespace."""
    grown = Grown(old, store_url)
    yield grown
    client = brokers.Admin(grown.kafka)
    names = {name for name in brokers.partitions_of(client) if name.startswith(grown.kafka.prefix)}
    brokers.delete(client, names)
    grown.store.close()


def market(draw: random.Random, n: int, end_ms: int) -> Iterator[Record]:
    """Yield quotes and events of the last hours, out of order, and users' removals."""
    for k in range(n):
        quote = Quote(
            instrument_id=draw.choice(INSTRUMENT_IDS),
            price=draw.randrange(1, 400) / 4,
            size=draw.randrange(9),
            ts=end_ms - draw.randrange(70 * MINUTE_MS),
        )
        yield QUOTES.name, key_of(quote), encode(quote), None
        event = Interaction(
            user_id=draw.choice(USERS),
            instrument_id=draw.choice(INSTRUMENT_IDS),
            event=draw.choice(list(BUILT_IN)),
            ts=end_ms - draw.randrange(DAY_MS),
        )
        yield INTERACTIONS.name, key_of(event), encode(event), None
        if k % 100 == 0:
            yield INTERACTIONS.name, draw.choice(USERS).encode(), None, None
            i = draw.choice(INSTRUMENT_IDS)
            entry = encode_instrument(Instrument(i, symbol=f"I{i}", name=f"{k}"))
            yield INSTRUMENTS.name, instrument_key(i), draw.choice([entry, entry, None]), None
            yield FEEDBACK.name, draw.choice(USERS).encode(), b'{"type":"click"}', None


def rejected(draw: random.Random, now_ms: int) -> Iterator[Record]:
    """Yield records that the workers reject, some of which would be valid later."""
    for i in INSTRUMENT_IDS:
        quote = encode(Quote(instrument_id=i, price=7, size=1, ts=now_ms))
        yield QUOTES.name, b"%d" % i, quote, 1 - instrument_partition(i, 2)
    for user in USERS[:10]:
        yield INTERACTIONS.name, user.encode(), None, 1 - user_partition(user, 2)
    ahead = Quote(instrument_id=1, price=7, size=1, ts=now_ms + 6 * MINUTE_MS)
    yield QUOTES.name, b"1", encode(ahead), None
    yield QUOTES.name, b"1", b"{", None
    yield INSTRUMENTS.name, b"01", None, None


def take_out_users(pipeline: Pipeline, now_ms: int) -> None:
    producer = Producer(
        {"bootstrap.servers": pipeline.broker, "partitioner": LIBRDKAFKA_PARTITIONER}
    )
    for k, user in enumerate(USERS[:40]):
        key, headers = encode_tombstone(Tombstone(user, now_ms - k * MINUTE_MS))
        producer.produce(INTERACTIONS.name, None, key, headers=headers)
    assert producer.flush(PATIENCE_S) == 0


@contextlib.contextmanager
def open_transaction(old: Pipeline, instrument_id: int) -> Iterator[None]:
    """Write to a partition of quotes, and abort when the block ends."""
    producer = Producer(
        {
            "bootstrap.servers": old.broker,
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "transactional.id": f"{old.namespace}-feed",
            "transaction.timeout.ms": 600_000,
        }
    )
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    quote = Quote(instrument_id=instrument_id, price=1, size=1, ts=EVENT_MS)
    producer.produce(QUOTES.name, encode(quote), key_of(quote))
    producer.flush(PATIENCE_S)
    yield
    producer.abort_transaction(PATIENCE_S)


def quote_records(n: int, instrument_id: int = 4) -> Iterator[Record]:
    for k in range(n):
        quote = Quote(instrument_id=instrument_id, price=1 + k, size=1, ts=EVENT_MS + k)
        yield QUOTES.name, key_of(quote), encode(quote), None
