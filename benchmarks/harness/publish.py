"""Publishes a benchmark's input, as the project's producers do: murmur2, lz4, acknowledged."""

from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import Producer

from benchmarks.harness.contender import ContenderError
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER

_ANSWER_WITHIN_S: Final = 60
_ROOM_S: Final = 0.01

Record = tuple[bytes, bytes]
"""key and value"""


def record(message: Quote | Interaction) -> Record:
    """Return the key and the value of a message."""
    return key_of(message), encode(message)


def connected(bootstrap_servers: str, **settings: Any) -> Producer:
    """Return a producer that has found its brokers."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 10,
            "queue.buffering.max.messages": 500_000,
            "log_level": 0,  # publishing too early or too late raises in the call
            **settings,
        }
    )
    producer.list_topics(timeout=_ANSWER_WITHIN_S)
    return producer


def produce(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    """Put a record into the queue, as soon as there is room."""
    while True:
        try:
            return producer.produce(topic, value, key)
        except BufferError:
            producer.poll(_ROOM_S)


def publish(bootstrap_servers: str, topic: str, records: Iterable[Record]) -> None:
    """Publish records and return when the broker has all of them.

    Raises:
        ContenderError: it does not take them in time.
    """
    producer = connected(bootstrap_servers)
    for key, value in records:
        produce(producer, topic, key, value)
    left = producer.flush(_ANSWER_WITHIN_S)
    if left:
        raise ContenderError(f"the broker took all but {left} of the records for {topic}")
