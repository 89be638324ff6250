"""Converts records of confluent-kafka to those of `placement`."""

import time
from collections.abc import Sequence
from typing import cast

from confluent_kafka import Message

from operations.repartition.placement import Records
from operations.repartition.progress import Partition
from runtime.kafka.headers import UnreadableHeadersError, headers_of
from runtime.kafka.stamps import clock_ms


def place_of(message: Message) -> tuple[Partition, int]:
    """Return a record's offset, or the log's end; narrows the types of confluent-kafka."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    return (cast("str", topic), cast("int", partition)), cast("int", offset)


def records(partition: int, messages: Sequence[Message]) -> Records:
    """Return the records of a partition, with the workers' reference times."""
    return Records(
        partition,
        [message.key() for message in messages],
        [message.value() for message in messages],
        [_headers(message) for message in messages],
        clock_ms(messages, time.time_ns() // 1_000_000),
    )


def _headers(message: Message) -> tuple[tuple[str, bytes], ...] | None:
    try:
        return tuple((name, value or b"") for name, value in headers_of(message))
    except UnreadableHeadersError:
        return None
