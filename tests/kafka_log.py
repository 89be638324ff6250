"""Reads what a topic has, and feeds one while a test goes on."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from runtime.kafka import broker as brokers
from runtime.kafka.config import KafkaConfig
from tests.patience import PATIENCE_S


@contextmanager
def feeding(publish: Callable[[range], None], at_once: int) -> Iterator[list[int]]:
    """Publish the next numbers again and again for the block; yield how many, which keeps growing.

    What publishing raises is raised at the end.
    """
    ended, n = threading.Event(), [0]

    def feed() -> None:
        while not ended.wait(0.05):
            numbers = range(n[0], n[0] + at_once)
            publish(numbers)
            n[0] = numbers.stop

    with ThreadPoolExecutor() as pool:
        feed_ends = pool.submit(feed)
        try:
            yield n
        finally:
            ended.set()
            feed_ends.result()


def records_of(kafka: KafkaConfig, topic: str) -> list[Message]:
    """Return the records of a topic, of each partition up to its end and in its order."""
    partitions = brokers.partitions_of(brokers.Admin(kafka))[topic]
    settings = {"group.id": "tests", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({**kafka.librdkafka(), **settings, "fetch.wait.max.ms": 50})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found = []
    while partitions:
        record = consumer.poll(PATIENCE_S)
        assert record is not None, f"{topic} is not read to its end"
        if record.error() is None:
            found.append(record)
        else:
            assert record.error().code() == KafkaError._PARTITION_EOF
            partitions -= 1
    consumer.close()
    return found
