"""Copies the records of old topics, each exactly once, however often the copy is killed.

A transaction takes records to the new topics, and how far they are read to a consumer group of the
new prefix: both, or neither. A copy that begins fences an earlier one that still runs.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, cast

import numpy as np
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from infra import broker
from infra.repartition.placement import LEFT_OUT, Records, place
from infra.repartition.progress import (
    Copied,
    CopyError,
    Offsets,
    Partition,
    ends,
    find,
    patiently,
    starts,
)
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import RIGHTS, told

NAME: Final = "repartition"
"""Of the consumer group and of the transactions, without the new prefix."""
_CALL_S: Final = 30
_RECORDS_AT_ONCE: Final = 10_000
"""In a transaction, which takes some 20 ms to commit."""
_POLL_S: Final = 0.1
_SILENT_MOST_S: Final = 60
_FENCED: Final = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH)  # noqa: SLF001 (its name)

Show = Callable[[int, int], None]
"""Takes how many offsets this copy has read, and how many it is to read."""


def copy(kafka: KafkaConfig, from_prefix: str, show: Show) -> list[Copied]:
    """Copy what the topics of a prefix have by now into those of `kafka`, and return how much.

    Goes on where the last copy ended. What is written to the old topics in the meantime may be
    copied as well, and if it is not, the next copy begins with it.

    Raises:
        CopyError: the topics cannot be copied, or not to their ends.
        runtime.kafka.rights.RightsError: the user lacks rights.
        broker.BrokerError: the broker does not answer.
    """
    client = broker.admin(kafka)
    old = kafka.model_copy(update={"prefix": from_prefix})
    try:
        topics = find(client, old, kafka, NAME)
        producer = _producer(kafka)
        # Takes back what a killed copy left open, before it is asked how far that one came.
        patiently(producer.init_transactions, _CALL_S)
        with contextlib.closing(_consumer(kafka)) as consumer:
            end = ends(client, topics)
            begin = starts(client, consumer, topics, end)
            _Copier(topics, consumer, producer, begin).run(end, show)
    except KafkaException as failed:
        raise CopyError(_why(failed.args[0])) from None
    return topics


class _Copier:
    """One run of a copy."""

    def __init__(
        self,
        topics: Sequence[Copied],
        consumer: Consumer,
        producer: Producer,
        begin: Mapping[Partition, int],
    ) -> None:
        self._topics = {topic.old_name: topic for topic in topics}
        self._consumer = consumer
        self._producer = producer
        self._next = dict(begin)

    def run(self, end: Offsets, show: Show) -> None:
        """Copy until each partition is read up to an offset.

        Raises:
            CopyError: nothing came of a partition for long.
            KafkaException: the broker refuses something.
        """
        self._commit({})  # so that Kafka has a position of each partition, or of none
        self._consumer.assign([TopicPartition(*one, at) for one, at in self._next.items()])
        whole = sum(end.values()) - sum(self._next.values())
        last_came = time.monotonic()
        while lacking := [one for one in end if self._next[one] < end[one]]:
            show(whole - sum(end[one] - self._next[one] for one in lacking), whole)
            if self._take(self._consumer.consume(_RECORDS_AT_ONCE, _POLL_S)):
                last_came = time.monotonic()
            elif time.monotonic() > last_came + _SILENT_MOST_S:
                raise CopyError(self._silence(lacking[0], end))
        show(whole, whole)

    def _take(self, messages: Sequence[Message]) -> bool:
        """Copy records; return whether there was anything to read.

        Raises:
            KafkaException: reading or writing failed.
        """
        before = dict(self._next)
        records: dict[Partition, list[Message]] = {}
        for message in messages:
            one, offset = _place_of(message)
            error = message.error()
            if error is None:
                records.setdefault(one, []).append(message)
                self._next[one] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its name)
                self._next[one] = offset  # beyond markers of transactions
            else:
                raise KafkaException(error)
        if self._next == before:
            return False
        self._commit(records)
        return True

    def _commit(self, records: Mapping[Partition, Sequence[Message]]) -> None:
        """Write records, and how far all partitions are read: a position that is not, expires."""
        positions = [TopicPartition(*one, at) for one, at in self._next.items()]
        with _transaction(self._producer):
            for (topic, partition), its in records.items():
                self._write(self._topics[topic], partition, its)
            group = self._consumer.consumer_group_metadata()
            patiently(self._producer.send_offsets_to_transaction, positions, group, _CALL_S)

    def _write(self, topic: Copied, partition: int, messages: Sequence[Message]) -> None:
        places = place(topic.topic, _records(partition, messages), topic.partitions)
        for message, at in zip(messages, places, strict=True):
            if at == LEFT_OUT:
                topic.left_out += 1
                continue
            topic.records += 1
            self._produce(topic.new_name, at, message)

    def _produce(self, topic: str, partition: int, message: Message) -> None:
        """Hand a record on as it is; a topic whose broker stamps the records stamps it anew."""
        while True:
            try:
                self._producer.produce(
                    topic,
                    message.value(),
                    message.key(),
                    partition,
                    timestamp=message.timestamp()[1],
                    headers=message.headers(),
                )
            except BufferError:
                self._producer.poll(_POLL_S)
            else:
                return

    def _silence(self, one: Partition, end: Offsets) -> str:
        return (
            f"nothing came of {one[0]}/{one[1]} for {_SILENT_MOST_S} s, which is read up to "
            f"{self._next[one]} and ends at {end[one]}: a transaction is open there, which must be "
            "ended first, or a broker is away. Run this again: it goes on there"
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
            # Records that Kafka deletes under a copy are not passed over in silence.
            "auto.offset.reset": "error",
            # A partition without records has an end to tell at once.
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
    )


@contextlib.contextmanager
def _transaction(producer: Producer) -> Iterator[None]:
    """Commit what is written in the block, or take it back if that fails or is interrupted."""
    producer.begin_transaction()
    try:
        yield
        patiently(producer.commit_transaction, _CALL_S)
    except BaseException:
        # If this fails, too, the next copy takes it back, or the broker when its time is over.
        with contextlib.suppress(KafkaException):
            producer.abort_transaction(_CALL_S)
        raise


def _place_of(message: Message) -> tuple[Partition, int]:
    """Return where a record stands, or the log ends; the types of confluent-kafka know less."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    return (cast("str", topic), cast("int", partition)), cast("int", offset)


def _headers(message: Message) -> tuple[tuple[str, bytes], ...]:
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return tuple((name, value or b"") for name, value in pairs)


def _records(partition: int, messages: Sequence[Message]) -> Records:
    now_ms = time.time_ns() // 1_000_000
    stamps = (message.timestamp() for message in messages)
    clock_ms = (
        min(at_ms, now_ms) if kind == TIMESTAMP_LOG_APPEND_TIME else now_ms
        for kind, at_ms in stamps
    )
    return Records(
        partition,
        [message.key() for message in messages],
        [message.value() for message in messages],
        [_headers(message) for message in messages],
        np.fromiter(clock_ms, np.int64, len(messages)),
    )


def _why(error: KafkaError) -> str:
    """Return why a copy broke off, and what to do."""
    if error.code() in _FENCED:
        return "another copy into the same topics began, and goes on with it"
    if error.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return f"{error.str()}: {RIGHTS}"
    if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its name)
        return (
            "Kafka deleted records before they were copied. Run this again: it says how many, and "
            "goes on behind them"
        )
    return f"{told(error)}. Run this again: it goes on where it came to"
