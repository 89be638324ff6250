"""Topics, producers and a consumer of the transport's own tests."""

import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic
from faust.types import TP

from infra.local.kafka.jars import NoKafkaError
from infra.local.kafka.server import kafka
from infra.local.process import free_port
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.fetched import Fetched, FetchFailure
from tests.chaos.servers import restartable
from tests.chaos.servers.restartable import Restartable
from tests.patience import eventually

WAIT_S = 60
Write = Callable[..., None]


@pytest.fixture(autouse=True)
def _compiled(compiled_code: None) -> None:
    """Read as most workers do."""


@contextlib.contextmanager
def new_topic(broker: str, partitions: int = 1, **config: str) -> Iterator[str]:
    name = f"transport-{uuid.uuid4().hex[:8]}"
    client = brokers.Admin(plain(broker))
    brokers.create(client, [NewTopic(name, partitions, 1, config=config)])
    yield name
    brokers.delete(client, [name])


@pytest.fixture
def topic(broker: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Name of a new topic with one partition, and the parameter's configuration if there is one."""
    with new_topic(broker, **getattr(request, "param", {})) as name:
        yield name


def publish(
    broker: str,
    topic: str,
    values: Sequence[bytes | None],
    partition: int = 0,
    compression: str = "none",
    at_once: int = 1_000_000,
    keys: Iterable[bytes | None] = repeat(None),
) -> None:
    """Write values to a partition, by default as one Kafka batch."""
    producer = Producer(
        {
            "bootstrap.servers": broker,
            "compression.type": compression,
            "enable.idempotence": True,
            "linger.ms": 60_000,  # until the flush
            "batch.num.messages": at_once,
            "batch.size": 10_000_000,
            "message.max.bytes": 10_000_000,
        }
    )
    for value, key in zip(values, keys, strict=False):
        producer.produce(topic, value=value, key=key, partition=partition)
    assert producer.flush(WAIT_S) == 0


@pytest.fixture
def write(broker: str, topic: str) -> Write:
    """Publishes to `topic`."""
    return partial(publish, broker, topic)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Restartable]:
    """A broker that the test may stop."""
    try:
        own = Restartable(kafka(free_port(), tmp_path))
    except NoKafkaError as why:
        pytest.skip(str(why))
    with restartable.started(own):
        yield own


class Transactions:
    """A transactional producer to partition 0 of a topic."""

    def __init__(self, broker: str, topic: str) -> None:
        self._kafka = plain(broker)
        self._topic = topic
        self._producer = Producer(
            {"bootstrap.servers": broker, "transactional.id": uuid.uuid4().hex, "linger.ms": 1000}
        )
        self._producer.init_transactions(WAIT_S)

    def begin(self, values: Sequence[bytes]) -> None:
        self._producer.begin_transaction()
        for value in values:
            self._producer.produce(self._topic, value=value, partition=0)
        assert self._producer.flush(WAIT_S) == 0

    def commit(self) -> None:
        self._end(self._producer.commit_transaction)

    def abort(self) -> None:
        self._end(self._producer.abort_transaction)

    def _end(self, end: Callable[[float], None]) -> None:
        """Return once the log has the marker: the broker answers before it has written it."""
        before = self._log_end()
        end(WAIT_S)
        eventually(lambda: self._log_end() > before, "the marker is in the log")

    def _log_end(self) -> int:
        return brokers.log_ends(self._kafka, self._topic, 1)[0]


@pytest.fixture
def transactions(broker: str, topic: str) -> Transactions:
    return Transactions(broker, topic)


class Reader:
    """A `Fetched` over a real consumer of one partition."""

    def __init__(self, consumer: AIOKafkaConsumer, tp: TP) -> None:
        self.consumer = consumer
        self.tp = tp
        self.fetched = Fetched(consumer._fetcher)

    def seek(self, offset: int, life: object = "life") -> None:
        self.fetched.seek(self.tp, offset, life)

    async def take(self) -> RecordBatch | FetchFailure:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if taken := await self.fetched.take({self.tp}, 1.0):
                (one,) = taken
                return one
        pytest.fail(f"nothing came of {self.tp} within {WAIT_S} s")

    async def batch(self) -> RecordBatch:
        one = await self.take()
        assert isinstance(one, RecordBatch), one
        return one

    async def read(self, start: int, end: int) -> list[RecordBatch]:
        self.seek(start)
        return await self.until(end)

    async def until(self, end: int) -> list[RecordBatch]:
        """Return batches up to an offset; each begins where the previous one ended."""
        batches = [await self.batch()]
        while batches[-1].end < end:
            batches.append(await self.batch())
            assert batches[-1].start == batches[-2].end
        assert batches[-1].end == end
        return batches


@pytest.fixture
async def reader(broker: str, topic: str) -> AsyncIterator[Reader]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker,
        auto_offset_reset="none",
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        consumer.assign([TP(topic, 0)])
        yield Reader(consumer, TP(topic, 0))
    finally:
        await consumer.stop()
