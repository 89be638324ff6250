"""Record batches as the transport delivers them."""

from collections.abc import Iterable, Mapping, Sequence

from aiokafka import ConsumerRecord
from faust.types import TP

from stream_processors.records import Records
from stream_processors.transport.batches import RecordBatch

APPENDED_AT_MS = 1_700_000_000_000


Headers = Sequence[tuple[str, bytes | None]]


def record(
    topic: str,
    partition: int,
    offset: int,
    value: bytes | None,
    key: bytes | None = None,
    timestamp_ms: int = APPENDED_AT_MS,
    headers: Headers = (),
) -> ConsumerRecord[bytes | None, bytes | None]:
    return ConsumerRecord(
        topic, partition, offset, timestamp_ms, 0, key, value, None, -1, -1, tuple(headers)
    )


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
        record(topic, partition, at, value, keys.get(at), headers=headers.get(at, ()))
        for at, value in values
    ]
    first = records[0].offset if start is None else start
    end = records[-1].offset + 1 if records else first
    return RecordBatch(TP(topic, partition), life, first, end, Records.of(records))
