"""A compacted topic: removed records leave gaps in the offsets, but none between fetches.

A position may be at a record that has since been removed.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from confluent_kafka import Producer

from .conftest import WAIT_S, Reader, new_topic

pytestmark = pytest.mark.kafka_only

# A segment is closed with the first record after this long, and only closed ones are compacted.
EAGER = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}
KEYS = 5
ROUNDS = 20
N = KEYS * ROUNDS


@pytest.fixture
def topic(broker: str) -> Iterator[str]:
    with new_topic(broker, **EAGER) as name:
        yield name


Write = Callable[[bytes, bytes | None], int]


@pytest.fixture
def write(broker: str, topic: str) -> Write:
    """Writes a record, a Kafka batch of its own; returns the log's end."""
    producer, written = (
        Producer({"bootstrap.servers": broker, "enable.idempotence": True}),
        count(1),
    )

    def write_one(key: bytes, value: bytes | None) -> int:
        producer.produce(topic, value=value, key=key, partition=0)
        assert producer.flush(WAIT_S) == 0
        return next(written)

    return write_one


async def offsets_from(reader: Reader, start: int, end: int) -> list[int]:
    """Return the offsets of the existing records; fetches must be contiguous."""
    reader.seek(start, life=object())
    batches = await reader.until(end)
    assert batches[0].start == start
    return [offset for batch in batches for offset in batch.offsets().tolist() if offset < N]


async def test_fetches_are_contiguous_across_compacted_records_wherever_they_begin(
    write: Write, reader: Reader
) -> None:
    for number in range(N):
        write(b"%d" % (number % KEYS), b"%d" % number)
    write(b"0", None)
    left = list(range(N))
    async with asyncio.timeout(WAIT_S):
        while len(left) >= KEYS:
            end = write(b"more", b"closes the segment before")
            left = await offsets_from(reader, 0, end)
    # The newest of each key except the one that a tombstone removed.
    assert left == list(range(N - KEYS + 1, N))
    for start in (1, KEYS, N - KEYS, N - 2, N, N + 1):
        assert await offsets_from(reader, start, end) == [o for o in left if start <= o]
