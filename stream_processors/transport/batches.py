"""What the transport delivers: the records of one fetch from one partition."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import faust
import numpy as np
from aiokafka import ConsumerRecord
from faust.types import TP, AppT, Message

from contracts.messages import Ints, Rejection

UNKNOWN_EPOCH: Final = -1
"""The leader epoch if a broker does not report one, as in Kafka's protocol."""
_LOG_APPEND_TIME: Final = 1
"""Kafka's timestamp type for records stamped by the broker."""
_OVERHEAD_BYTES: Final = 150
"""Approximate overhead of a record in memory."""


class BadRecord(NamedTuple):
    """A record that goes to the dead letters."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RecordBatch:
    """Records of one partition in offset order; may be empty, where the log has only markers."""

    tp: TP
    life: object
    """the partition's life that requested it: later lives discard it"""
    start: int
    """the fetch offset"""
    end: int
    """the next fetch offset, beyond transaction markers and compacted records"""
    records: list[ConsumerRecord[bytes | None, bytes | None]]
    size_bytes: int = 0
    """approximate size of the records in memory, for a batch as fetched"""
    with_headers: Sequence[ConsumerRecord[bytes | None, bytes | None]] = ()
    """for a batch as fetched, the records of Kafka batches whose first record has headers: a Kafka
    batch comes from one producer, which adds headers to all of its records or to none"""
    unreadable: Sequence[BadRecord] = ()
    """records in between that cannot be parsed, see `transport.salvage`"""
    leader_epoch: int = UNKNOWN_EPOCH
    """of the last Kafka batch: later leaders of the partition have greater ones"""

    def __len__(self) -> int:
        return len(self.records)

    def split(self, n: int) -> tuple["RecordBatch", "RecordBatch"]:
        """Split into the first n records and the rest, which begins where they end."""
        if n >= len(self):
            return self, RecordBatch(self.tp, self.life, self.end, self.end, [])
        cut = self.records[n - 1].offset + 1
        before = [one for one in self.unreadable if one.offset < cut]
        after = self.unreadable[len(before) :]
        return (
            RecordBatch(self.tp, self.life, self.start, cut, self.records[:n], unreadable=before),
            RecordBatch(self.tp, self.life, cut, self.end, self.records[n:], unreadable=after),
        )

    def bad(self, rejections: Sequence[Rejection]) -> list[BadRecord]:
        """Return the dead letters: records that a fold rejected, and unreadable ones.

        Rejected ones come first, in the given order.
        """
        rejected = [(self.records[place], reason) for place, reason in rejections]
        return [
            *(BadRecord(record.offset, record.key, record.value, why) for record, why in rejected),
            *self.unreadable,
        ]

    def offsets(self) -> Ints:
        """Return the records' offsets, (n,), ascending."""
        n = len(self.records)
        if not n:
            return np.empty(0, np.int64)
        first = self.records[0].offset
        if self.records[-1].offset - first == n - 1:
            return np.arange(first, first + n, dtype=np.int64)
        return np.fromiter((r.offset for r in self.records), np.int64, n)

    def values(self) -> list[bytes | None]:
        """Return the records' values."""
        return [r.value for r in self.records]

    def clock_ms(self) -> Ints:
        """Return the reference time for each record being ahead, epoch ms, (n,).

        The broker's append time if the topic has timestamps by the broker: then all workers agree,
        regardless of their clocks, and so does a replay. Otherwise the timestamp is from the
        producer's clock, which may be slow, and our clock counts.
        """
        now_ms = time.time_ns() // 1_000_000
        n = len(self)
        kinds = {self.records[at].timestamp_type for at in (0, -1)} if n else set()
        if _LOG_APPEND_TIME not in kinds:
            return np.full(n, now_ms, np.int64)
        stamps = np.fromiter((r.timestamp for r in self.records), np.int64, n)
        if len(kinds) == 1:
            return stamps
        # The topic's setting changed within the batch.
        is_brokers = [record.timestamp_type == _LOG_APPEND_TIME for record in self.records]
        return np.where(is_brokers, stamps, now_ms)


def size_of(records: Sequence[Any]) -> int:
    """Return the approximate size of records in memory, in bytes."""
    values = [record.value for record in records]
    try:
        content = sum(map(len, values))
    except TypeError:  # a tombstone has none
        content = sum(len(value) for value in values if value is not None)
    return content + _OVERHEAD_BYTES * len(values)


class BatchSchema(faust.Schema[Any, Any]):
    """Passes a batch to the agent unchanged: folds do the decoding."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002
        """Return the message's key."""
        return message.key

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002
        """Return the batch."""
        return message.value
