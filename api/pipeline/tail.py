"""Reads dead-letter topics onward, bounded in time, records and bytes; it blocks.

Each read creates a consumer, which takes some 10 ms: letters are rare, and a permanent consumer
would poll Kafka all the time, and hold prefetched records.
"""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from api.pipeline.answers import DeadLetter
from contracts.topics import DEAD_LETTERS_SUFFIX
from runtime.kafka.config import KafkaConfig
from runtime.kafka.headers import has_readable_headers, headers_of

READ_WITHIN_S: Final = 1.0
RECORDS_MOST: Final = 5_000
BYTES_MOST: Final = 16 * 1024 * 1024
"""A letter may have 2 MiB, and more if it was compressed."""
SHOWN_BYTES: Final = 1_000
"""For a key, a value and a reason each."""
_FETCHED_BYTES: Final = 1024 * 1024
_FOREIGN: Final = b"no reason given: not written by a worker"


@dataclass(slots=True)
class Piece:
    """What was read of one log."""

    next: int
    """the offset to continue at"""
    letters: list[tuple[int, DeadLetter]] = field(default_factory=list)
    """with their offsets in this log, in its order"""
    is_to_the_end: bool = False


def read_on(kafka: KafkaConfig, starts: Mapping[str, int]) -> dict[str, Piece]:
    """Return the records of each dead-letter topic from an offset on, within the bounds.

    Raises:
        KafkaException: Kafka returned an error, or nothing arrived in time.
    """
    with closing(_consumer(kafka)) as consumer:
        consumer.assign(
            [TopicPartition(kafka.topic(log), 0, offset) for log, offset in starts.items()]
        )
        return _pieces(consumer, kafka, starts)


def _consumer(kafka: KafkaConfig) -> Consumer:
    return Consumer(
        {
            **kafka.librdkafka(),
            "client.id": "api-dead-letters",
            # Required by librdkafka; nothing is committed.
            "group.id": kafka.topic("api-dead-letters"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,  # the end of a log is reported no sooner
            "max.partition.fetch.bytes": _FETCHED_BYTES,
            "queued.max.messages.kbytes": 4 * _FETCHED_BYTES // 1024,
            "log_level": 0,
        }
    )


def _pieces(consumer: Consumer, kafka: KafkaConfig, starts: Mapping[str, int]) -> dict[str, Piece]:
    pieces = {log: Piece(offset) for log, offset in starts.items()}
    until, left, size = time.monotonic() + READ_WITHIN_S, RECORDS_MOST, BYTES_MOST
    while left > 0 and size > 0 and not all(piece.is_to_the_end for piece in pieces.values()):
        record = consumer.poll(max(0, until - time.monotonic()))
        if record is None:
            break
        error = record.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
            raise KafkaException(error)  # not every error has a topic
        log = kafka.name(cast("str", record.topic()))
        piece = pieces[log]
        if error is None:
            offset = cast("int", record.offset())
            piece.letters.append((offset, letter_of(record, log)))
            piece.next = offset + 1
            left, size = left - 1, size - len(record.value() or b"")
        else:
            piece.is_to_the_end = True
    else:
        return pieces
    if not any(piece.letters or piece.is_to_the_end for piece in pieces.values()):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 (its public name)
    return pieces


def letter_of(record: Message, log: str) -> DeadLetter:
    """Return a record of a dead-letter topic as it is shown."""
    headers = dict(headers_of(record)) if has_readable_headers(record) else {}
    value = record.value()
    return DeadLetter(
        topic=log.removesuffix(DEAD_LETTERS_SUFFIX),
        partition=_number(headers.get("partition")),
        offset=_number(headers.get("offset")),
        rejected_at_ms=record.timestamp()[1],
        reason=_text(headers.get("reason") or _FOREIGN) or "",
        key=_text(record.key()),
        value=_text(value),
        value_bytes=len(value or b""),
    )


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) < 20 else None


def _text(content: bytes | str | None) -> str | None:
    if content is None:
        return None
    beginning = content[:SHOWN_BYTES]
    return beginning if isinstance(beginning, str) else beginning.decode(errors="backslashreplace")
