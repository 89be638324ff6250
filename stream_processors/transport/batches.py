"""What the transport delivers: the records of one fetch from one partition."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import faust
import numpy as np
from faust.types import TP, AppT, Message

from contracts.messages import Ints, Rejection
from stream_processors.records import NONE, PRODUCERS_STAMP, Records

UNKNOWN_EPOCH: Final = -1
"""The leader epoch if a broker does not report one, as in Kafka's protocol."""


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
    records: Records
    unreadable: Sequence[BadRecord] = ()
    """what cannot be parsed in between, see `transport.contents`"""
    leader_epoch: int = UNKNOWN_EPOCH
    """of the last Kafka batch: later leaders of the partition have greater ones"""

    def __len__(self) -> int:
        return len(self.records)

    def split(self, n: int) -> tuple["RecordBatch", "RecordBatch"]:
        """Split into the first n records and the rest, which begins where they end."""
        if n >= len(self):
            return self, RecordBatch(self.tp, self.life, self.end, self.end, NONE)
        cut = int(self.records.columns.offset[n - 1]) + 1
        before = [one for one in self.unreadable if one.offset < cut]
        after = self.unreadable[len(before) :]
        return (
            RecordBatch(self.tp, self.life, self.start, cut, self.records.take(slice(n)), before),
            RecordBatch(
                self.tp, self.life, cut, self.end, self.records.take(slice(n, None)), after
            ),
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

    @property
    def size_bytes(self) -> int:
        """The size in memory, of a batch as fetched."""
        unreadable = sum(len(one.value or b"") for one in self.unreadable)
        return self.records.size_bytes + unreadable

    def offsets(self) -> Ints:
        """Return the records' offsets, (n,), ascending."""
        return self.records.columns.offset

    def values(self) -> list[bytes | None]:
        """Return the records' values."""
        return self.records.values.listed()

    def clock_ms(self) -> Ints:
        """Return the reference time for each record being ahead, epoch ms, (n,).

        The broker's append time if the topic has timestamps by the broker: then all workers agree,
        regardless of their clocks, and so does a replay. Otherwise the timestamp is from the
        producer's clock, which may be slow, and our clock counts.
        """
        appended_at, now_ms = self.records.columns.appended_at, time.time_ns() // 1_000_000
        return np.where(appended_at == PRODUCERS_STAMP, now_ms, appended_at)


class BatchSchema(faust.Schema[Any, Any]):
    """Passes a batch to the agent unchanged: folds do the decoding."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002
        """Return the message's key."""
        return message.key

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002
        """Return the batch."""
        return message.value
