"""What the transport delivers: the records that one fetch returned for one partition."""

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
"""Of a leader, as Kafka has it, too, where a broker does not say which one."""
_LOG_APPEND_TIME: Final = 1
"""Kafka's timestamp type of a topic whose broker stamps the records."""
_OVERHEAD_BYTES: Final = 150
"""What a record takes in memory beside its value, roughly."""


class BadRecord(NamedTuple):
    """A record that goes to the dead letters."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RecordBatch:
    """Records of one partition in offset order; maybe none, where the log has only markers."""

    tp: TP
    life: object
    """of the partition that asked for it: what a former one asked for is no use to the next"""
    start: int
    """the offset that was fetched at"""
    end: int
    """the offset to fetch at next, beyond markers of transactions and compacted records"""
    records: list[ConsumerRecord[bytes | None, bytes | None]]
    size_bytes: int = 0
    """about how much memory the records take, of a batch as it was fetched"""
    with_headers: Sequence[ConsumerRecord[bytes | None, bytes | None]] = ()
    """of a batch as it was fetched, the records of those Kafka batches whose first one has headers:
    a Kafka batch is of one producer, which gives them to all of its records or to none"""
    unreadable: Sequence[BadRecord] = ()
    """what stands between the records and cannot be parsed, see `transport.salvage`"""
    leader_epoch: int = UNKNOWN_EPOCH
    """of the last Kafka batch: a later leader of the partition has a greater one"""

    def __len__(self) -> int:
        return len(self.records)

    def split(self, n: int) -> tuple["RecordBatch", "RecordBatch"]:
        """Return the first n records and the rest, which begins where they end."""
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
        """Return what goes to the dead letters: records that a fold rejected, and unreadable ones.

        The rejected ones come first, in the given order.
        """
        rejected = [(self.records[place], reason) for place, reason in rejections]
        return [
            *(BadRecord(record.offset, record.key, record.value, why) for record, why in rejected),
            *self.unreadable,
        ]

    def offsets(self) -> Ints:
        """Return the records' offsets, (n,), rising."""
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
        """Return the time by which each record is judged as ahead, epoch ms, (n,).

        When the broker took the record, if the topic is one whose broker stamps the records: then
        all workers judge alike, whatever their own clocks say, and a replay as the first time.
        Else the producer's clock stands there, which may be slow, and ours counts.
        """
        now_ms = time.time_ns() // 1_000_000
        n = len(self)
        kinds = {self.records[at].timestamp_type for at in (0, -1)} if n else set()
        if _LOG_APPEND_TIME not in kinds:
            return np.full(n, now_ms, np.int64)
        stamps = np.fromiter((r.timestamp for r in self.records), np.int64, n)
        if len(kinds) == 1:
            return stamps
        # The topic's setting was changed within the batch.
        is_brokers = [record.timestamp_type == _LOG_APPEND_TIME for record in self.records]
        return np.where(is_brokers, stamps, now_ms)


def size_of(records: Sequence[Any]) -> int:
    """Return about how many bytes records take in memory."""
    values = [record.value for record in records]
    try:
        content = sum(map(len, values))
    except TypeError:  # one has none
        content = sum(len(value) for value in values if value is not None)
    return content + _OVERHEAD_BYTES * len(values)


class BatchSchema(faust.Schema[Any, Any]):
    """Hands a batch to the agent as it is: decoding is the fold's business."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002
        """Return the message's key."""
        return message.key

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002
        """Return the batch."""
        return message.value
