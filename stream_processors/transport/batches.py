"""What the transport delivers: the records that one fetch returned for one partition."""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import faust
import numpy as np
from aiokafka import ConsumerRecord
from faust.types import TP, AppT, Message

from contracts.messages import Ints


class LogBounds(NamedTuple):
    """Where a partition's log begins and ends at this moment."""

    earliest: int
    end: int
    """the offset that the next record will get"""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RecordBatch:
    """Records of one partition in offset order, at least one."""

    tp: TP
    records: list[ConsumerRecord[bytes | None, bytes | None]]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def next_offset(self) -> int:
        """The offset after the last record."""
        return int(self.records[-1].offset) + 1

    def offsets(self) -> Ints:
        """Return the records' offsets, (n,), rising."""
        first, n = self.records[0].offset, len(self.records)
        if self.next_offset - first == n:
            return np.arange(first, first + n, dtype=np.int64)
        return np.fromiter((r.offset for r in self.records), np.int64, n)

    def values(self) -> list[bytes | None]:
        """Return the records' values."""
        return [r.value for r in self.records]

    def clock_ms(self) -> Ints:
        """Return the time at which each record was appended, by the earlier of two clocks, (n,).

        A replay must judge a record as the first time, so Kafka's timestamp counts; ours bounds
        it, as a producer may have set it.
        """
        now_ms = time.time_ns() // 1_000_000
        stamps = np.fromiter((r.timestamp for r in self.records), np.int64, len(self.records))
        stamps[stamps < 0] = now_ms  # a record of Kafka's first format has none
        return np.minimum(stamps, now_ms)


class BatchSchema(faust.Schema[Any, Any]):
    """Hands a batch to the agent as it is: decoding is the fold's business."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002
        """Return the message's key."""
        return message.key

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:  # noqa: ARG002
        """Return the batch."""
        return message.value
