"""Record batches as the transport delivers them."""

from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka.record._crecords import DefaultRecordBatchBuilder as Builder
from faust.types import TP

from stream_processors.records import PRODUCERS_STAMP
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.contents import Batch, opened, read

Headers = Sequence[tuple[str, bytes | None]]


def record(
    offset: int,
    value: bytes | None = b"",
    key: bytes | None = None,
    headers: Headers = (),
    *,
    appended_at: int = PRODUCERS_STAMP,
) -> Batch:
    """Return a Kafka batch of one record."""
    builder = Builder(2, 0, 0, -1, -1, -1, 1 << 24)
    builder.append(0, 0, key, value, list(headers))
    batch = opened(memoryview(builder.build()))
    return batch._replace(base_offset=offset, appended_at=appended_at)


def batch_of(
    topic: str,
    partition: int,
    values: Iterable[tuple[Any, ...]],
    start: int | None = None,
    life: object = None,
) -> RecordBatch:
    """Return a batch of (offset, value, ...), fetched at the first one's offset or at `start`."""
    records = [record(*its) for its in values]
    first = records[0].offset if start is None else start
    end = records[-1].offset + 1 if records else first
    return RecordBatch(TP(topic, partition), life, first, end, read(records, 0)[0])
