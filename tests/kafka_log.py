"""Reads what a topic has."""

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from runtime.kafka import broker as brokers
from runtime.kafka.config import KafkaConfig
from tests.patience import PATIENCE_S


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
