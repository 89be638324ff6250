"""Decides which records are copied, and to which partitions. Pure: time is an argument.

A record that the workers folded belongs to the id that they folded it under, regardless of its key.
A rejected one is skipped: it is in the topic's dead letters, and may have been republished from
there. Feedback, which nothing folds, goes by its key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from confluent_kafka import Message

from contracts.batches import decode_interactions, decode_quotes
from contracts.input_rules import ANY, InputRules
from contracts.instruments import decode_instrument_record, instrument_key
from contracts.messages import Ints
from contracts.partitioning import partition_of
from contracts.tombstones import decode_tombstone
from contracts.topics import FEEDBACK, INSTRUMENTS, INTERACTIONS, QUOTES, Topic
from runtime.kafka.headers import UnreadableHeadersError, clock_ms, headers_of

COPIED: Final = (QUOTES, INTERACTIONS, INSTRUMENTS, FEEDBACK)
"""The workers recompute `cooccurrences` from the copied interactions; dead letters are not
copied."""
LEFT_OUT: Final = -1
"""Instead of a partition."""

_of = lru_cache(maxsize=400_000)(partition_of)  # some 150 bytes each


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one partition, n of each, in log order."""

    partition: int
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[tuple[tuple[str, bytes], ...] | None]
    """None for a record with unreadable headers, which all readers reject"""
    clock_ms: Ints
    """(n,) the workers' reference time for each being ahead, epoch ms"""

    @classmethod
    def of(cls, partition: int, messages: Sequence[Message], now_ms: int) -> "Records":
        """Return what confluent-kafka has read of a partition."""
        return cls(
            partition,
            [message.key() for message in messages],
            [message.value() for message in messages],
            [_headers(message) for message in messages],
            clock_ms(messages, now_ms),
        )


def _headers(message: Message) -> tuple[tuple[str, bytes], ...] | None:
    try:
        return tuple((name, value or b"") for name, value in headers_of(message))
    except UnreadableHeadersError:
        return None


@dataclass(frozen=True, slots=True)
class Partitions:
    """Partition counts of a topic, and of its copy."""

    before: int
    after: int


def place(
    topic: Topic, records: Records, partitions: Partitions, rules: InputRules = ANY
) -> list[int]:
    """Return (n,) the target partition of each record, `LEFT_OUT` for those not copied."""
    if topic == FEEDBACK:
        places = [_of(key or b"", partitions.after) for key in records.keys]
    else:
        places = [
            LEFT_OUT if owner is None else copied_to(owner, records.partition, partitions)
            for owner in _OWNERS[topic](records, rules)
        ]
    return [
        LEFT_OUT if headers is None else at
        for at, headers in zip(places, records.headers, strict=True)
    ]


def copied_to(key: bytes, partition: int, partitions: Partitions) -> int:
    """Return where a partition's record of a key is copied to; `LEFT_OUT` if it is misplaced."""
    is_here = _of(key, partitions.before) == partition
    return _of(key, partitions.after) if is_here else LEFT_OUT


def _owners_of_quotes(records: Records, rules: InputRules) -> list[bytes | None]:
    columns, _ = decode_quotes(records.values, records.clock_ms, rules)
    owners: list[bytes | None] = [None] * len(records.values)
    for at, instrument_id in zip(
        columns.index.tolist(), columns.instrument_id.tolist(), strict=True
    ):
        owners[at] = instrument_key(instrument_id)
    return owners


def _owners_of_interactions(records: Records, rules: InputRules) -> list[bytes | None]:
    columns, rejections = decode_interactions(records.values, records.clock_ms, rules)
    owners: list[bytes | None] = [None] * len(records.values)
    for at, user_id in zip(columns.index.tolist(), columns.user_id, strict=True):
        owners[at] = user_id.encode()
    for at, _ in rejections:
        if records.values[at] is None:
            owners[at] = _owner_of_tombstone(records.keys[at], records.headers[at] or ())
    return owners


def _owner_of_tombstone(key: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> bytes | None:
    try:
        return decode_tombstone(key, headers).user_id.encode()
    except ValueError:
        return None


def _owners_of_instruments(records: Records, rules: InputRules) -> list[bytes | None]:
    return [
        _owner_of_instrument(key, value, rules)
        for key, value in zip(records.keys, records.values, strict=True)
    ]


def _owner_of_instrument(key: bytes | None, value: bytes | None, rules: InputRules) -> bytes | None:
    try:
        return instrument_key(decode_instrument_record(key, value, rules)[0])
    except ValueError:
        return None


_OWNERS: Final[Mapping[Topic, Callable[[Records, InputRules], list[bytes | None]]]] = {
    QUOTES: _owners_of_quotes,
    INTERACTIONS: _owners_of_interactions,
    INSTRUMENTS: _owners_of_instruments,
}
"""topic -> the owner of each record, as a key; None for an invalid one"""
