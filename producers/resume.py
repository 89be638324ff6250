"""Resumes a simulation where the previous one ended.

Its progress in event time is read from the end of each partition: a killed simulation may have left
them at different points.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import Final, cast

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Place

from contracts.partitioning import partition_of
from producers.batch import Batch
from producers.publisher import PublishingError
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import RightsError, check_rights, rights

LAST_RECORDS: Final = 100
"""Per partition; some may be from other producers, with any event time, or invalid."""

NewestMs = Callable[[str, bytes], int | None]
"""(topic, key) -> event time, epoch ms, up to which the key's records are published; or None"""


def without_published(
    batches: Iterable[Batch], read_newest: Callable[[], NewestMs]
) -> Iterator[Batch]:
    """Yield batches without already published records.

    Args:
        batches: of a simulation, from the start of its back-fill.
        read_newest: called once, before the first batch.
    """
    newest_ms = cache(read_newest())
    for batch in batches:
        ts_ms = batch.ts_ms.tolist()
        new = [
            place
            for place, (ts, record) in enumerate(zip(ts_ms, batch.records, strict=True))
            if (newest := newest_ms(record[0], record[1])) is None or ts > newest
        ]
        if len(new) == len(ts_ms):
            yield batch
        elif new:
            yield Batch(batch.ts_ms[new], [batch.records[place] for place in new])


@dataclass(slots=True)
class Ends:
    """The progress of topics."""

    partitions: Mapping[str, int] = field(default_factory=dict)
    """topic -> its number of partitions"""
    newest_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    """(topic, partition) -> newest event time, epoch ms; without empty partitions"""

    def of(self, topic: str, key: bytes) -> int | None:
        """Return the newest event time in the key's partition, None if unknown."""
        partitions = self.partitions.get(topic)
        return partitions and self.newest_ms.get((topic, partition_of(key, partitions)))


class _Timed(msgspec.Struct):
    ts: int


def read_ends(kafka: KafkaConfig, topics: Iterable[str], within_s: float) -> Ends:
    """Return the progress of topics, from the last records of each partition.

    Raises:
        PublishingError: the user may not read them, or the broker does not answer in time.
    """
    try:
        check_rights(Admin(kafka), kafka, rights("")["simulator"])
        with closing(_consumer(kafka)) as consumer:
            return _read(consumer, kafka, topics, within_s)
    except RightsError as error:
        raise PublishingError(str(error)) from error
    except KafkaException as error:
        raise PublishingError(
            f"the ends of {', '.join(topics)} cannot be read: {error.args[0]}: check the broker "
            f"at {kafka.bootstrap_servers}"
        ) from error


def _consumer(kafka: KafkaConfig) -> Consumer:
    return Consumer(
        {
            **kafka.librdkafka(),
            "client.id": "tickrec-producers",
            "group.id": kafka.topic("simulator"),  # required, and never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
    )


def _read(consumer: Consumer, kafka: KafkaConfig, topics: Iterable[str], within_s: float) -> Ends:
    known = consumer.list_topics(timeout=within_s).topics
    ends = Ends({topic: len(known[kafka.topic(topic)].partitions) for topic in topics})
    unread = {(topic, n) for topic, count in ends.partitions.items() for n in range(count)}
    consumer.assign([_start(consumer, Place(kafka.topic(t), n), within_s) for t, n in unread])
    deadline = time.monotonic() + within_s
    while unread:
        record = consumer.poll(max(0, deadline - time.monotonic()))
        if record is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 (its public name)
        error, name = record.error(), record.topic()
        if name is None:
            continue  # an error of the connection, or of the group, which is not needed
        place = kafka.name(name), cast("int", record.partition())
        if error is None:
            _note(ends, place, record)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
            unread.discard(place)
        else:
            raise KafkaException(error)
    return ends


def _start(consumer: Consumer, place: Place, within_s: float) -> Place:
    earliest, end = consumer.get_watermark_offsets(place, within_s)
    return Place(place.topic, place.partition, max(earliest, end - LAST_RECORDS))


def _note(ends: Ends, place: tuple[str, int], record: Message) -> None:
    try:
        ts_ms = msgspec.json.decode(record.value() or b"", type=_Timed).ts
    except msgspec.DecodeError:
        return  # a tombstone, or an invalid record
    ends.newest_ms[place] = max(ts_ms, ends.newest_ms.get(place, ts_ms))
