"""Reads the topics as a member of a consumer group, from the positions in the tables.

Kafka assigns the partitions to the archives of a group; their positions are in the tables and
nowhere else, so nothing is ever committed to Kafka.
"""

import contextlib
import itertools
import logging
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import lt
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import RIGHTS, Refusals, describe_error

GROUP: Final = "archive"
RECORDS_AT_ONCE: Final = 10_000
_QUEUED_KB: Final = 32_768
"""Of fetched records that were not read yet."""
_END_WITHIN_S: Final = 5.0
_MAX_POLL_INTERVAL_MS: Final = 600_000
"""A commit of a full buffer to a slow store takes a while."""
_NOT_ALLOWED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)

Partition = tuple[str, int]
"""Topic, by our name, and number."""


class End(NamedTuple):
    """Where a partition's log ends, as of the latest fetch."""

    end: int
    """after its last record, committed or not"""
    read: int
    """Nothing is left to read below it: what comes after the last record is aborted or a marker.
    0 before any end was reached."""


_library_log = logging.getLogger(__name__)  # librdkafka would write to standard error


class NotAllowedError(RuntimeError):
    """Kafka does not allow the archive to read; the text says what to do."""


class Batch(NamedTuple):
    """Records of one partition, in their order."""

    partition: Partition
    records: Sequence[Message]


class Read(NamedTuple):
    """What one call brought."""

    batches: Sequence[Batch]
    refused: Sequence[Partition]
    """partitions whose log has no record at the offset that was asked for"""
    unreadable: Sequence[Partition] = ()
    """partitions of which a corrupt batch or a record outside its batch was skipped, for each"""


class GroupConsumer:
    """A member of the archives' group."""

    def __init__(
        self,
        kafka: KafkaConfig,
        topics: Collection[str],
        assigned: Callable[[Collection[Partition]], Mapping[Partition, int]],
        revoked: Callable[[Collection[Partition], bool], None],
    ) -> None:
        """Join the group.

        Args:
            kafka: how to reach it.
            topics: what to read, by our names.
            assigned: is called with partitions that are ours from now on; returns from which
                offsets on they are read.
            revoked: is called with partitions before they are somebody else's, and whether they
                are already.
        """
        self._kafka = kafka
        self._assigned, self._revoked = assigned, revoked
        self._mine: dict[Partition, int] = {}
        """and from which offset on each was last begun"""
        self._begun: set[Partition] = set()
        """during the call of `read` that is under way"""
        self._read_to: dict[Partition, int] = {}
        """where the end of what is committed was last reached"""
        self._stepped_over: dict[Partition, tuple[int, int]] = {}
        """first offset of a batch that cannot be decompressed, and the one that was tried next"""
        self.is_paused = False
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                "client.id": "tickrec-archive",
                "group.id": kafka.topic(GROUP),
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                # A position that the log does not have is an error, not replaced by another one.
                "auto.offset.reset": "error",
                # To know when markers and aborted records after the last one are read.
                "enable.partition.eof": True,
                "partition.assignment.strategy": "cooperative-sticky",
                # A dead member is replaced as quickly as a worker.
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 1_000,
                "max.poll.interval.ms": _MAX_POLL_INTERVAL_MS,
                "queued.max.messages.kbytes": _QUEUED_KB,
                # A recreated topic is noticed within that time.
                "topic.metadata.refresh.interval.ms": 5_000,
                "error_cb": Refusals(),
            },
            logger=_library_log,
        )
        self._consumer.subscribe(
            [kafka.topic(topic) for topic in topics],
            on_assign=self._on_assign,
            on_revoke=lambda _, places: self._on_revoke(places, is_lost=False),
            on_lost=lambda _, places: self._on_revoke(places, is_lost=True),
        )

    def read(self, timeout_s: float) -> Read:
        """Return what came within that time.

        Raises:
            NotAllowedError: Kafka does not allow reading.
        """
        self._begun.clear()
        messages = self._consumer.consume(RECORDS_AT_ONCE, timeout_s)
        batches: list[Batch] = []
        refused: list[Partition] = []
        unreadable: list[Partition] = []
        for (name, number, is_error), run in itertools.groupby(messages, _of):
            records = list(run)
            if is_error:
                refused += self._refused(records, unreadable)
                continue
            partition = self._kafka.name(name), number
            if partition in self._mine and partition not in self._begun:
                end = self._end(TopicPartition(name, number))
                if end < 0:  # unknown: they are read again
                    continue
                ordered = in_order(records, end)
                unreadable += [partition] * (len(records) - len(ordered))
                batches += [Batch(partition, ordered)] if ordered else []
        # Of what came with the news that a partition is ours, part may be from before it.
        self.seek({p: self._mine[p] for p in self._begun & self._mine.keys()})
        return Read(batches, refused, unreadable)

    def _end(self, place: TopicPartition) -> int:
        """Return where a partition's log ends, -1 if neither the last fetch nor the broker says."""
        _, end = self._consumer.get_watermark_offsets(place, cached=True)
        if end < 0:  # refused, as a fetch after a record outside its batch is
            with contextlib.suppress(KafkaException):
                _, end = self._consumer.get_watermark_offsets(place, _END_WITHIN_S)
        return int(end)

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read partitions of ours from there on."""
        if not offsets:
            return
        self._mine.update(offsets)
        self._forget_ends(offsets)
        self._read_from(offsets)

    def _read_from(self, offsets: Mapping[Partition, int]) -> None:
        places = self._places(offsets)
        self._consumer.incremental_unassign(places)
        self._consumer.incremental_assign(places)
        if self.is_paused:
            self._consumer.pause(places)

    def pause(self, *, is_paused: bool) -> None:
        """Pause or resume reading, without leaving the group."""
        if is_paused != self.is_paused:
            places = [TopicPartition(self._kafka.topic(t), p) for t, p in self._mine]
            (self._consumer.pause if is_paused else self._consumer.resume)(places)
            self.is_paused = is_paused

    def ends(self) -> dict[Partition, End]:
        """End offsets of assigned partitions fetched at least once."""
        ends = {}
        for topic, p in self._mine:
            place = TopicPartition(self._kafka.topic(topic), p)
            _, end = self._consumer.get_watermark_offsets(place, cached=True)
            if end >= 0:
                ends[topic, p] = End(end, self._read_to.get((topic, p), 0))
        return ends

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _on_assign(self, _: Consumer, places: list[TopicPartition]) -> None:
        partitions = [(self._kafka.name(place.topic), place.partition) for place in places]
        offsets = self._assigned(partitions)
        self._mine.update(offsets)
        self._begun.update(offsets)
        self._consumer.incremental_assign(self._places(offsets))
        if self.is_paused:
            self._consumer.pause(self._places(offsets))

    def _on_revoke(self, places: list[TopicPartition], *, is_lost: bool) -> None:
        partitions = [(self._kafka.name(place.topic), place.partition) for place in places]
        self._revoked(partitions, is_lost)
        self._forget_ends(partitions)
        for partition in partitions:
            self._mine.pop(partition, None)
        self._consumer.incremental_unassign(places)

    def _places(self, offsets: Mapping[Partition, int]) -> list[TopicPartition]:
        return [
            TopicPartition(self._kafka.topic(topic), number, offset)
            for (topic, number), offset in offsets.items()
        ]

    def _forget_ends(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._read_to.pop(partition, None)
            self._stepped_over.pop(partition, None)

    def _refused(
        self, messages: Sequence[Message], unreadable: list[Partition]
    ) -> Iterator[Partition]:
        for message in messages:
            error = message.error()
            partition = self._kafka.name(message.topic() or ""), message.partition() or 0
            if error is None:
                continue
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
                self._read_to[partition] = message.offset() or 0
            elif error.code() == KafkaError._BAD_COMPRESSION:  # noqa: SLF001 (its public name)
                # One that has just become ours is read again from where it begins.
                is_read = partition in self._mine and partition not in self._begun
                if is_read and self._step_over(partition, message):
                    unreadable.append(partition)
            elif error.code() in _NOT_ALLOWED:
                raise NotAllowedError(f"Kafka does not allow the archive to read: {RIGHTS}")
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its public name)
                yield partition
            elif error.fatal():
                raise KafkaException(error)
            else:
                _library_log.warning("%s", describe_error(error))

    def _step_over(self, partition: Partition, message: Message) -> bool:
        """Skip a batch that cannot be decompressed; return whether it is another one.

        librdkafka decompresses zstd to 100 MB at most, and would retry forever. It does not say
        where the batch ends, so one offset after the other is tried.
        """
        first = message.offset() or 0
        before, tried = self._stepped_over.get(partition, (-1, -1))
        following = max(first, tried) + 1
        self._stepped_over[partition] = first, following
        self._read_from({partition: following})
        if first == before:
            return False
        error = message.error()
        why = describe_error(error) if error else ""
        _library_log.error("a batch at offset %d of %s/%d is left out: %s", first, *partition, why)
        return True


def _of(message: Message) -> tuple[str, int, bool]:
    return message.topic() or "", message.partition() or 0, message.error() is not None


def in_order(records: Sequence[Message], end: int) -> Sequence[Message]:
    """Return the records without those that are outside their batch.

    Kafka takes a record of any offset, and librdkafka does not say where its batch ends: the
    longest ascending sequence of offsets below the log's end counts.
    """
    offsets = [record.offset() or 0 for record in records]
    if offsets[-1] < end and all(map(lt, offsets, offsets[1:])):
        return records
    lasts: list[int] = []  # of the best sequence of each length
    places: list[int] = []
    before: dict[int, int] = {}
    for place, offset in enumerate(offsets):
        if offset < end:
            length = bisect_left(lasts, offset)
            before[place] = places[length - 1] if length else -1
            lasts[length : length + 1], places[length : length + 1] = [offset], [place]
    kept: list[Message] = []
    place = places[-1] if places else -1
    while place >= 0:
        kept.append(records[place])
        place = before[place]
    return kept[::-1]
