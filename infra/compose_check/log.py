"""The workers' progress, from Kafka and Redis."""

from collections.abc import Collection, Iterable
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from contracts.keyspace import NEXT_FIELD, Keyspace
from contracts.topics import Topic
from runtime.redis.stores import Store, connect

Partition = tuple[str, int]
"""topic, number"""

_WITHIN_S: Final = 5
_LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Log:
    """Queries a broker and a store."""

    def __init__(self, bootstrap_servers: str, redis_url: str, namespace: str) -> None:
        """Connect, for one namespace."""
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self._store: Store = connect(redis_url, "tickrec-compose-check")
        self._keyspace = Keyspace(namespace)

    def partitions(self, topics: Collection[Topic]) -> dict[str, int]:
        """Return topic -> partitions.

        Raises:
            KafkaException: the broker does not answer.
        """
        there = self._admin.list_topics(timeout=_WITHIN_S).topics
        return {topic.name: len(there[topic.name].partitions) for topic in topics}

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return where logs end.

        Raises:
            KafkaException: the broker does not answer.
        """
        asked = {TopicPartition(*partition): _LATEST for partition in partitions}
        answers = self._admin.list_offsets(asked, request_timeout=_WITHIN_S)
        return {
            (asked.topic, asked.partition): answer.result(_WITHIN_S).offset
            for asked, answer in answers.items()
        }

    def positions(
        self, topics: Iterable[Topic], partitions: dict[str, int]
    ) -> dict[Partition, int]:
        """Return the next offset of each partition, as stored in Redis with the values."""
        wanted = [(topic, n) for topic in topics for n in range(partitions[topic.name])]
        with self._store.pipeline(transaction=False) as pipeline:
            for topic, n in wanted:
                pipeline.hget(self._keyspace.position(topic, n), NEXT_FIELD)
            said = pipeline.execute()
        return {
            (topic.name, n): int(position or 0)
            for (topic, n), position in zip(wanted, said, strict=True)
        }
