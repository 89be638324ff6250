"""Reads the topics of a mapping, as a member of its consumer group."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.publisher import PublishingError
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import Refusals

RECORDS_AT_ONCE: Final = 10_000
"""Per transaction, which takes some 20 ms to commit."""
_POLL_S: Final = 0.1
_SESSION_MS: Final = 10_000
_CALL_S: Final = 10.0

Place = tuple[str, int]
"""topic and partition"""
Ends = Mapping[Place, int]
"""place -> the offset after the last record"""


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
                # `_rewind` says where to begin, and notices a log without that position.
                "auto.offset.reset": "error",
                "session.timeout.ms": _SESSION_MS,
                # With one, `consume` raises an error after which this client does nothing more.
                "error_cb": self._refusals,
                "log_level": 2,
            }
        )
        self._has_moved = False
        self._taken: list[Message] = []
        self._committed: dict[Place, int] = {}
        """of this copy's partitions, or where their logs begin"""
        self._held: frozenset[str] = frozenset()
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
            error = message.error()
            if error is not None and error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its public name)
                # The log has no such offset, maybe as a record outside its batch moved it there.
                self._has_moved = True
            # A partition without a position has one since `_rewind`.
            elif error is not None and error.code() != KafkaError._NO_OFFSET:  # noqa: SLF001 (its public name)
                raise KafkaException(error)
        self._taken = [message for message in messages if message.error() is None]
        return self._taken

    def positions(self) -> list[TopicPartition]:
        """Return the positions after what was taken, of partitions where they have moved.

        They also cover the marks of transactions, which are no records.
        """
        found = self._consumer.position(self._consumer.assignment())
        positions = [its for its in found if its.offset > self._committed.get(_place(its), 0)]
        for its in positions:
            _, end = self._consumer.get_watermark_offsets(its, cached=True)
            if its.offset > end:
                its.offset = self._after_taken(its)
        return positions

    def _after_taken(self, its: TopicPartition) -> int:
        """Return the offset after the records taken, of which one outside its batch takes one."""
        _, end = self._consumer.get_watermark_offsets(its, _CALL_S)
        after = self._committed.get(_place(its), 0)
        for message in self._taken:
            if (message.topic(), message.partition()) == _place(its):
                offset = message.offset() or 0
                after = (offset if offset < end else after) + 1
        return after

    def committed(self, positions: Sequence[TopicPartition]) -> None:
        """Note that a transaction has committed these positions."""
        self._committed |= {_place(its): its.offset for its in positions}

    def needs_rewind(self) -> None:
        """Continue at what is committed: the records taken last were not published."""
        self._has_moved = True

    def _rewind(self) -> None:
        """Move to what is committed; waits for an open transaction of another copy.

        Raises:
            KafkaException: the broker does not answer, or refuses.
            PublishingError: a log ends before what is committed.
        """
        assigned = self._consumer.assignment()
        positions = [self._in_log(its) for its in self._committed_of(assigned)]
        if assigned:
            self._consumer.assign(positions)
            # A partition that is assigned again stays paused.
            self._consumer.resume([its for its in positions if its.topic not in self._held])
            self._consumer.pause([its for its in positions if its.topic in self._held])
        self._committed = {_place(its): its.offset for its in positions}
        self._has_moved = False

    def _in_log(self, its: TopicPartition) -> TopicPartition:
        """Return a position, or the log's beginning if there is none or its records are gone.

        Raises:
            KafkaException: the broker does not answer, or refuses.
            PublishingError: the log ends before it.
        """
        low, end = self._consumer.get_watermark_offsets(its, _CALL_S)
        if its.offset > end:
            raise PublishingError(
                f"the group has committed {its.offset} of {its.topic}/{its.partition}, which ends "
                f"at {end}: it lost records, or was restored. Choose where to go on, with the "
                "copies stopped: kafka-consumer-groups.sh --reset-offsets"
            )
        return TopicPartition(its.topic, its.partition, max(its.offset, low))

    def _committed_of(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Return what the group has committed.

        Raises:
            KafkaException: the broker does not answer, or refuses.
        """
        if not partitions:
            return []
        found = self._consumer.committed(list(partitions), _CALL_S)
        for its in found:
            if its.error is not None:
                raise KafkaException(its.error)
        return found

    def ends(self, topics: Collection[str]) -> dict[Place, int]:
        """Return the ends of the partitions that have records, also of other copies' partitions.

        Raises:
            KafkaException: the broker does not answer, or refuses.
        """
        ends = {}
        for topic in topics:
            for number in self._consumer.list_topics(topic, _CALL_S).topics[topic].partitions:
                its = TopicPartition(topic, number)
                low, high = self._consumer.get_watermark_offsets(its, _CALL_S)
                if high > low:
                    ends[topic, number] = high
        return ends

    def has_committed(self, ends: Ends) -> bool:
        """Whether the copies of the group have committed what was before these ends.

        Raises:
            KafkaException: the broker does not answer, or refuses.
        """
        found = self._committed_of([TopicPartition(*place) for place in ends])
        return all(its.offset >= ends[_place(its)] for its in found)

    def hold(self, topics: Collection[str]) -> None:
        """Take nothing from these topics until the next call; what was taken last comes again."""
        self._held = frozenset(topics)
        self.needs_rewind()

    def group(self) -> Any:
        """Return the membership that a transaction is committed with."""
        return self._consumer.consumer_group_metadata()

    def lag(self) -> Iterator[tuple[str, int, int]]:
        """Yield topic, partition, and the records that wait, of each partition of this copy."""
        for (topic, number), offset in self._committed.items():
            its = TopicPartition(topic, number)
            _, end = self._consumer.get_watermark_offsets(its, cached=True)
            if end >= 0:  # something was fetched
                yield topic, number, max(end - offset, 0)

    def close(self) -> None:
        """Leave the group, unless this copy has a name to come back under."""
        self._consumer.close()

    def _note(self, *_: Any) -> None:
        # Called within `consume`, which may return records of before: `take` drops them.
        self._has_moved = True


def _place(its: TopicPartition) -> Place:
    return its.topic, its.partition
