"""Record batches as the transport delivers them."""

from collections.abc import Iterable, Mapping, Sequence

from aiokafka.record._crecords import DefaultRecordBatchBuilder as Builder
from faust.types import TP

from stream_processors.records import PRODUCERS_STAMP
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.contents import Batch, opened, read

Headers = Sequence[tuple[str, bytes | None]]


def record(
    offset: int,
    value: bytes | None = b"",
    *,
    key: bytes | None = None,
    headers: Headers = (),
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
    values: Iterable[tuple[int, bytes | None]],
    start: int | None = None,
    life: object = None,
    keys: Mapping[int, bytes | None] = {},
    headers: Mapping[int, Headers] = {},
) -> RecordBatch:
    """Return a batch of (offset, value), fetched at the first one's offset or at `start`.

    Keys and headers are by offset.
    """
    records = [
        record(at, value, key=keys.get(at), headers=headers.get(at, ())) for at, value in values
    ]
    first = records[0].offset if start is None else start
    end = records[-1].offset + 1 if records else first
    return RecordBatch(TP(topic, partition), life, first, end, read(records, 0)[0])
