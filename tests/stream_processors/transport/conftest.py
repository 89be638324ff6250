"""Topics and producers of the transport's own tests.

- `topic` (function): name of a new topic with one partition.
- `write` (function): writes values to a partition of `topic`, by default as one Kafka batch.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from runtime.kafka import broker as brokers
from runtime.kafka.config import plain

WAIT_S = 60
Write = Callable[..., None]


@pytest.fixture
def topic(broker: str) -> Iterator[str]:
    name = f"transport-{uuid.uuid4().hex[:8]}"
    client = brokers.admin(plain(broker))
    brokers.create(client, [NewTopic(name, 1, 1)])
    yield name
    brokers.delete(client, [name])


@pytest.fixture
def write(broker: str, topic: str) -> Write:
    def write_values(
        values: Sequence[bytes | None],
        partition: int = 0,
        compression: str = "none",
        at_once: int = 1_000_000,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
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
        for value in values:
            producer.produce(topic, value=value, partition=partition, headers=list(headers))
        assert producer.flush(WAIT_S) == 0

    return write_values


class Transactions:
    """A transactional producer to partition 0 of a topic."""

    def __init__(self, broker: str, topic: str) -> None:
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
        self._producer.commit_transaction(WAIT_S)

    def abort(self) -> None:
        self._producer.abort_transaction(WAIT_S)


@pytest.fixture
def transactions(broker: str, topic: str) -> Transactions:
    return Transactions(broker, topic)
