"""Record batches as the transport delivers them."""

from collections.abc import Iterable

from aiokafka import ConsumerRecord
from faust.types import TP

from stream_processors.transport import RecordBatch

APPENDED_AT_MS = 1_700_000_000_000


def record(
    topic: str,
    partition: int,
    offset: int,
    value: bytes | None,
    key: bytes | None = None,
    timestamp_ms: int = APPENDED_AT_MS,
) -> ConsumerRecord[bytes | None, bytes | None]:
    return ConsumerRecord(topic, partition, offset, timestamp_ms, 0, key, value, None, -1, -1, ())


def batch_of(topic: str, partition: int, values: Iterable[tuple[int, bytes | None]]) -> RecordBatch:
    """Return a batch of (offset, value)."""
    records = [record(topic, partition, offset, value) for offset, value in values]
    return RecordBatch(TP(topic, partition), records)
