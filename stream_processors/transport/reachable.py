"""Checks whether a new client would reach all topics that this worker reads or writes.

A long-lived client may be stuck while the broker is healthy. This uses librdkafka, which reports
for each partition whether its leader answers.
"""

from collections.abc import Collection
from concurrent.futures import wait
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin._listoffsets import OffsetSpec

from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.tokens import TokenError

_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_TIMEOUT_S: Final = 5.0
_ANSWER_WITHIN_S: Final = 7.0


def is_reachable(kafka: KafkaConfig, topics: Collection[str]) -> bool:
    """Return whether all partition leaders of some topics answer; blocks for some seconds.

    A topic that does not exist, or has a partition without leader, is unreachable. So is one with a
    replica that is behind: its leader may answer, but accept no records.
    """
    try:
        with Admin(kafka, client_id="tickrec-stream-processors") as client:
            return _leaders_answer(client, [kafka.topic(topic) for topic in topics])
    except (KafkaException, TokenError):
        return False


def _leaders_answer(client: Admin, topics: Collection[str]) -> bool:
    there = client.list_topics(timeout=_TIMEOUT_S).topics
    if not all(topic in there and there[topic].partitions for topic in topics):
        return False
    partitions = [(topic, one) for topic in topics for one in there[topic].partitions.values()]
    if any(len(one.isrs) < len(one.replicas) for _, one in partitions):
        return False
    ends = {Place(topic, one.id): _LATEST for topic, one in partitions}
    asked = client.list_offsets(ends, request_timeout=_TIMEOUT_S).values()
    wait(asked, _ANSWER_WITHIN_S)
    return all(future.done() and future.exception() is None for future in asked)
