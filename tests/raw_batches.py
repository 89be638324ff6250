"""Hand-made Kafka batches that no client library would write."""

import asyncio
import struct
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as Builder
from aiokafka.record.util import calc_crc32c

Header = tuple[bytes, bytes | None]


class Raw(NamedTuple):
    """A record; its header names are bytes, as in Kafka."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[Header] = ()
    delta: int | None = None
    """of the offset, instead of its place in the batch"""


POISON = b"\xff\xfe"
"""The name of a header that is not UTF-8."""
_FIELDS = {
    "base_offset": (">q", 0),
    "magic": (">b", 16),
    "attributes": (">h", 21),
    "last_offset_delta": (">i", 23),
    "max_timestamp": (">q", 35),
    "n": (">i", 57),
}
"""Of a batch's header: format and place."""


class _Name(str):
    """Text that aiokafka encodes as other bytes."""

    def __new__(cls, name: bytes) -> "_Name":
        return super().__new__(cls, name.hex())

    def encode(self, *_: Any) -> bytes:
        return bytes.fromhex(self)


def batch_of(records: Sequence[Raw], compression: int = 0, stamp_ms: int | None = None) -> bytes:
    """Return a batch whose checksum is right; its first record's offset is 0."""
    builder = Builder(2, compression, 0, -1, -1, -1, 1 << 30)
    stamp_ms = time.time_ns() // 1_000_000 if stamp_ms is None else stamp_ms
    for place, record in enumerate(records):
        headers: Any = [(_Name(name), value) for name, value in record.headers]
        delta = place if record.delta is None else record.delta
        builder.append(delta, stamp_ms, record.key, record.value, headers)
    return patched(builder.build(), last_offset_delta=len(records) - 1)


def patched(batch: bytes, **fields: int) -> bytes:
    """Return a batch with other fields in its header, and a checksum that is right."""
    changed = bytearray(batch)
    for name, value in fields.items():
        form, at = _FIELDS[name]
        struct.pack_into(form, changed, at, value)
    struct.pack_into(">I", changed, 17, calc_crc32c(bytes(changed[21:])))
    return bytes(changed)


def publish(broker: str, topic: str, partition: int, records: Sequence[Raw]) -> int:
    """Publish records as one batch, and return the offset of the first one."""
    return asyncio.run(publish_soon(broker, topic, partition, records))


async def publish_soon(
    broker: str, topic: str, partition: int, records: Sequence[Raw], compression: int = 0
) -> int:
    """As `publish`, on a loop that runs."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all")
    await producer.start()
    try:
        batch = producer.create_batch()
        for record in records:
            batch.append(key=record.key, value=record.value, timestamp=None)
        batch.close()
        batch._buffer, batch._builder = batch_of(records, compression), None
        acknowledged = await producer.send_batch(batch, topic, partition=partition)
        return int((await acknowledged).offset)
    finally:
        await producer.stop()
