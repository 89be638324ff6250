"""Copies the records of old topics, each exactly once, even if the copy is killed.

A transaction writes records to the new topics, and read positions to a consumer group of the new
prefix: both, or neither. A new copy fences an earlier one that is still running.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from contracts.input_rules import ANY, InputRules
from operations.repartition.placement import LEFT_OUT, Records, copied_to, place
from operations.repartition.progress import (
    Copied,
    CopyError,
    Offsets,
    Partition,
    ends,
    find,
    patiently,
    starts,
)
from runtime.kafka import broker
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import RIGHTS, describe_error

if TYPE_CHECKING:  # few need pyiceberg and DuckDB
    from operations.repartition.archive import CopyArchive
    from runtime.archive.records import ArchivedRecord

NAME: Final = "repartition"
"""Name of the consumer group and of the transactions, without the new prefix."""
_CALL_S: Final = 30
_RECORDS_AT_ONCE: Final = 10_000
"""Per transaction, which takes some 20 ms to commit."""
_POLL_S: Final = 0.1
_SILENT_MOST_S: Final = 60
_FENCED: Final = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH)  # noqa: SLF001 (its name)

Show = Callable[[int, int], None]
"""Takes how many offsets this copy has read, and how many it must read."""


def copy(
    kafka: KafkaConfig,
    from_prefix: str,
    show: Show,
    archive: "CopyArchive | None" = None,
    rules: InputRules = ANY,
) -> list[Copied]:
    """Copy the current records of a prefix's topics into those of `kafka`, and return how many.

    Resumes where the last copy ended. Records written to the old topics during the copy may be
    copied as well; if not, the next copy starts with them. Records that Kafka has deleted may be in
    the `archive`: these come first.

    Raises:
        CopyError: the topics cannot be copied, or not to their ends.
        runtime.kafka.rights.RightsError: the user is missing rights.
        broker.BrokerError: the broker does not answer.
    """
    client = broker.Admin(kafka)
    old = kafka.model_copy(update={"prefix": from_prefix})
    try:
        topics = find(client, old, kafka, NAME)
        producer = _producer(kafka)
        # Aborts what a killed copy left open, before its positions are read.
        patiently(producer.init_transactions, _CALL_S)
        with contextlib.closing(_consumer(kafka)) as consumer:
            end = ends(client, topics)
            begin = starts(client, consumer, topics, end, archive.topics if archive else ())
            copier = _Copier(topics, consumer, producer, begin.next, rules)
            if archive is not None:
                copier.fill(archive, begin.earliest)
            copier.skip_deleted(begin.earliest)
            copier.run(end, show)
    except KafkaException as failed:
        raise CopyError(_why(failed.args[0])) from None
    return topics


class _Copier:
    """A run of the copy."""

    def __init__(
        self,
        topics: Sequence[Copied],
        consumer: Consumer,
        producer: Producer,
        begin: Mapping[Partition, int],
        rules: InputRules,
    ) -> None:
        self._topics = {topic.old_name: topic for topic in topics}
        self._consumer = consumer
        self._producer = producer
        self._next = dict(begin)
        self._rules = rules

    def fill(self, archive: "CopyArchive", earliest: Offsets) -> None:
        """Copy from the archive what precedes the logs' beginnings.

        Raises:
            CopyError: the archive cannot be read, or belongs to other topics.
            KafkaException: the broker refuses something.
        """
        for topic in self._topics.values():
            for part in archive.missing(topic, dict(self._next), earliest):
                self._next[topic.old_name, part.partition] = part.next_offset
                with self._committing():
                    for record in part.records:
                        self._write_archived(topic, part.partition, record)

    def skip_deleted(self, earliest: Offsets) -> None:
        """Continue where the logs begin, and count earlier records that are not copied."""
        for topic in self._topics.values():
            for one in topic.old_partitions():
                topic.deleted += max(earliest[one] - self._next[one], 0)
                self._next[one] = max(earliest[one], self._next[one])

    def run(self, end: Offsets, show: Show) -> None:
        """Copy until each partition is read up to an offset.

        Raises:
            CopyError: a partition returned nothing for long.
            KafkaException: the broker refuses something.
        """
        self._commit({})  # so that Kafka has positions of all partitions, or of none
        self._consumer.assign([TopicPartition(*one, at) for one, at in self._next.items()])
        whole = sum(end.values()) - sum(self._next.values())
        last_came = time.monotonic()
        while unread := [one for one in end if self._next[one] < end[one]]:
            show(whole - sum(end[one] - self._next[one] for one in unread), whole)
            if self._take(self._consumer.consume(_RECORDS_AT_ONCE, _POLL_S)):
                last_came = time.monotonic()
            elif time.monotonic() > last_came + _SILENT_MOST_S:
                raise CopyError(self._silence(unread[0], end))
        show(whole, whole)

    def _take(self, messages: Sequence[Message]) -> bool:
        """Copy records; return whether there was anything to read.

        Raises:
            KafkaException: reading or writing failed.
        """
        before = dict(self._next)
        came: dict[Partition, list[Message]] = {}
        for message in messages:
            one = cast("Partition", (message.topic(), message.partition()))
            offset = cast("int", message.offset())  # or the log's end
            error = message.error()
            if error is None:
                came.setdefault(one, []).append(message)
                self._next[one] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its name)
                self._next[one] = offset  # beyond transaction markers
            else:
                raise KafkaException(error)
        if self._next == before:
            return False
        self._commit(came)
        return True

    def _commit(self, messages: Mapping[Partition, Sequence[Message]]) -> None:
        """Write records, and the positions of all partitions."""
        with self._committing():
            for (topic, partition), its in messages.items():
                self._write(self._topics[topic], partition, its)

    @contextlib.contextmanager
    def _committing(self) -> Iterator[None]:
        """Commit what is written in the block, with all positions: an uncommitted one expires."""
        positions = [TopicPartition(*one, at) for one, at in self._next.items()]
        with _transaction(self._producer):
            yield
            group = self._consumer.consumer_group_metadata()
            patiently(self._producer.send_offsets_to_transaction, positions, group, _CALL_S)

    def _write(self, topic: Copied, partition: int, messages: Sequence[Message]) -> None:
        records = Records.of(partition, messages, time.time_ns() // 1_000_000)
        places = place(topic.topic, records, topic.partitions, self._rules)
        for message, at in zip(messages, places, strict=True):
            if at == LEFT_OUT:
                topic.left_out += 1
                continue
            topic.records += 1
            self._produce(
                topic=topic.new_name,
                value=message.value(),
                key=message.key(),
                partition=at,
                timestamp=message.timestamp()[1],
                headers=message.headers(),
            )

    def _write_archived(self, topic: Copied, partition: int, record: "ArchivedRecord") -> None:
        at = copied_to(record.key, partition, topic.partitions)
        if at == LEFT_OUT:
            topic.left_out += 1
            return
        topic.records += 1
        topic.archived += 1
        self._produce(
            topic=topic.new_name,
            value=record.value,
            key=record.key,
            partition=at,
            headers=[*record.headers],
        )

    def _produce(self, **record: Any) -> None:
        """Write a record unchanged, except for a timestamp that the broker sets."""
        while True:
            try:
                self._producer.produce(**record)
            except BufferError:
                self._producer.poll(_POLL_S)
            else:
                return

    def _silence(self, one: Partition, end: Offsets) -> str:
        return (
            f"nothing came of {one[0]}/{one[1]} for {_SILENT_MOST_S} s, which was read up to "
            f"{self._next[one]} and ends at {end[one]}: a transaction is open there, which must be "
            "ended first, or a broker is unreachable. Run this again: it resumes there"
        )


def _producer(kafka: KafkaConfig) -> Producer:
    return Producer(
        {
            **kafka.librdkafka(),
            "transactional.id": kafka.topic(NAME),
            "compression.type": "lz4",
            "linger.ms": 20,
            "log_level": 0,
        }
    )


def _consumer(kafka: KafkaConfig) -> Consumer:
    return Consumer(
        {
            **kafka.librdkafka(),
            "group.id": kafka.topic(NAME),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # Records that Kafka deletes during a copy are not skipped silently.
            "auto.offset.reset": "error",
            # A partition without records reports its end at once.
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
    )


@contextlib.contextmanager
def _transaction(producer: Producer) -> Iterator[None]:
    """Commit what is written in the block, or abort if that fails or is interrupted."""
    producer.begin_transaction()
    try:
        yield
        patiently(producer.commit_transaction, _CALL_S)
    except BaseException:
        # If this fails, too, the next copy aborts it, or the broker after its timeout.
        with contextlib.suppress(KafkaException):
            producer.abort_transaction(_CALL_S)
        raise


def _why(error: KafkaError) -> str:
    """Return why a copy failed, and the remedy."""
    if error.code() in _FENCED:
        return "another copy into the same topics began, and continues it"
    if error.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return f"{error.str()}: {RIGHTS}"
    if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its name)
        return (
            "Kafka deleted records before they were copied. Run this again: it says how many, and "
            "continues after them"
        )
    return f"{describe_error(error)}. Run this again: it resumes where it stopped"
