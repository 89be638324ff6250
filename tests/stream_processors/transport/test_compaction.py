"""A compacted topic: removed records leave gaps in the offsets, but none between fetches.

A position may be at a record that has since been removed.
"""

import time
from collections.abc import Iterator

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


class Writer:
    """Writes a record at a time, so that each is a Kafka batch of its own."""

    def __init__(self, broker: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": broker, "enable.idempotence": True})
        self.end = 0

    def write(self, key: bytes, value: bytes | None) -> None:
        self._producer.produce(self._topic, value=value, key=key, partition=0)
        assert self._producer.flush(WAIT_S) == 0
        self.end += 1


async def offsets_from(reader: Reader, start: int, end: int) -> list[int]:
    """Return the offsets of the existing records; fetches must be contiguous."""
    reader.seek(start, life=object())
    batches = await reader.until(end)
    assert batches[0].start == start
    return [offset for batch in batches for offset in batch.offsets().tolist()]


async def compacted(reader: Reader, writer: Writer) -> list[int]:
    """Return the remaining offsets once the broker has compacted the first N records."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        writer.write(b"more", b"closes the segment before")
        offsets = await offsets_from(reader, 0, writer.end)
        if sum(offset < N for offset in offsets) < KEYS:
            return offsets
    pytest.fail(f"the broker did not compact within {WAIT_S} s")


async def test_fetches_are_contiguous_across_compacted_records_wherever_they_begin(
    broker: str, topic: str, reader: Reader
) -> None:
    writer = Writer(broker, topic)
    for number in range(N):
        writer.write(b"%d" % (number % KEYS), b"%d" % number)
    writer.write(b"0", None)

    left = await compacted(reader, writer)

    # Of the first N, the newest of each key except the one that a tombstone removed.
    assert [offset for offset in left if offset < N] == list(range(N - KEYS + 1, N))
    for start in (1, KEYS, N - KEYS, N - 2, N, N + 1):
        offsets = await offsets_from(reader, start, writer.end)
        assert [o for o in offsets if o < N] == [o for o in left if start <= o < N]
