"""Reads the topics of a mapping, as a member of its consumer group."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import Refusals

RECORDS_AT_ONCE: Final = 10_000
"""Per transaction, which takes some 20 ms to commit."""
_POLL_S: Final = 0.1
_COMMITTED_WITHIN_S: Final = 10.0
_SESSION_MS: Final = 10_000


class Input:
    """The records that this copy is to map, each once.

    Positions are those that transactions have committed. After a rebalance or an abort they are
    read again, so that neither a record of a lost partition nor one of an aborted transaction is
    left in between.
    """

    def __init__(
        self, kafka: KafkaConfig, group: str, topics: Sequence[str], instance: str | None
    ) -> None:
        self._refusals = Refusals()
        named: dict[str, Any] = {} if instance is None else {"group.instance.id": instance}
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                **named,
                "client.id": "tickrec-producers",
                "group.id": kafka.topic(group),
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": _SESSION_MS,
                # With one, `consume` raises an error after which this client does nothing more.
                "error_cb": self._refusals,
                "log_level": 2,
            }
        )
        self._has_moved = False
        note: Callable[..., None] = self._note
        self._consumer.subscribe(list(topics), on_assign=note, on_revoke=note, on_lost=note)

    def take(self) -> list[Message]:
        """Return the next records of the partitions assigned, each in its order; maybe none.

        Raises:
            KafkaException: the broker refuses, or a topic is missing.
        """
        messages = self._consumer.consume(RECORDS_AT_ONCE, _POLL_S)
        if self._has_moved:
            self._rewind()
            return []
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
        return messages

    def needs_rewind(self) -> None:
        """Continue at what is committed: the records taken last were not published."""
        self._has_moved = True

    def _rewind(self) -> None:
        """Move to what is committed; waits for an open transaction of another copy.

        Raises:
            KafkaException: the broker does not answer, or refuses.
        """
        assigned = self._consumer.assignment()
        if assigned:
            positions = self._consumer.committed(assigned, _COMMITTED_WITHIN_S)
            for position in positions:
                if position.error is not None:
                    raise KafkaException(position.error)
            self._consumer.assign(positions)
        self._has_moved = False

    def group(self) -> Any:
        """Return the membership that a transaction is committed with."""
        return self._consumer.consumer_group_metadata()

    def lag(self) -> Iterator[tuple[str, int, int]]:
        """Yield topic, partition, and the records that wait, of each partition of this copy."""
        for its in self._consumer.position(self._consumer.assignment()):
            end = self._consumer.get_watermark_offsets(its, cached=True)[1]
            if its.offset >= 0:  # something was read
                yield its.topic, its.partition, max(end - its.offset, 0)

    def close(self) -> None:
        """Leave the group, unless this copy has a name to come back under."""
        self._consumer.close()

    def _note(self, *_: Any) -> None:
        # Called within `consume`, which may return records of before: `take` drops them.
        self._has_moved = True


def next_positions(messages: Sequence[Message]) -> list[TopicPartition]:
    """Return the offsets after the last record of each partition."""
    last: dict[tuple[Any, Any], Any] = {
        (message.topic(), message.partition()): message.offset() for message in messages
    }
    return [TopicPartition(topic, partition, offset + 1)
            for (topic, partition), offset in last.items()]  # fmt: skip
