"""Publishes a benchmark's input, as the project's producers do: murmur2, lz4, acknowledged."""

from collections.abc import Iterable

from confluent_kafka import Producer

from benchmarks.stage import ContenderError
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER

_FLUSH_WITHIN_S = 60


def publish(bootstrap_servers: str, topic: str, messages: Iterable[Quote | Interaction]) -> None:
    """Publish the messages and return when the broker has all of them; as `publish_raw`."""
    publish_raw(bootstrap_servers, topic, ((key_of(m), encode(m)) for m in messages))


def publish_raw(bootstrap_servers: str, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Publish keys and values and return when the broker has all of them.

    Raises:
        ContenderError: it does not take them in time.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 10,
            "queue.buffering.max.messages": 500_000,
        }
    )
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
    left = producer.flush(_FLUSH_WITHIN_S)
    if left:
        raise ContenderError(f"the broker took all but {left} of the records for {topic}")
