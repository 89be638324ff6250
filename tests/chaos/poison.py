"""A record with a header name that is not UTF-8: Kafka accepts it, but no client can read it."""

import asyncio
import threading
import time
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as Builder

from tests.chaos.messages import Publication

UNREADABLE: Final = "unreadable"
"""A field of the value, by which the recomputation knows such a record."""

_ANY_SIZE: Final = 1_000_000
_RETRY_AFTER_S: Final = 0.5


class Poison(threading.Thread):
    """Publishes one such record, again until the broker has it; its value breaks no rule."""

    def __init__(self, bootstrap_servers: str, what: Publication, partition: int) -> None:
        super().__init__(name="poison", daemon=True)
        self._bootstrap_servers = bootstrap_servers
        assert what.value is not None
        value = what.value.replace(b"{", f'{{"{UNREADABLE}":true,'.encode(), 1)
        self._what = what._replace(value=value)
        self._partition = partition

    def run(self) -> None:
        while True:
            try:
                asyncio.run(publish(self._bootstrap_servers, self._what, self._partition))
            except KafkaError:
                time.sleep(_RETRY_AFTER_S)
            else:
                return


async def publish(bootstrap_servers: str, what: Publication, partition: int) -> int:
    """Publish what it is to a partition, under an unreadable header; return its offset.

    Raises:
        KafkaError: the broker did not acknowledge it.
    """
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
        batch = producer.create_batch()
        batch.append(key=what.key, value=what.value, timestamp=None)
        batch.close()
        batch._buffer = _poisoned(what)
        acknowledged = await producer.send_batch(batch, what.topic, partition=partition)
        return int((await acknowledged).offset)


def _poisoned(what: Publication) -> bytes:
    """Return the bytes of a batch of this record; the builder in C checks names, this one not."""
    builder = Builder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=_ANY_SIZE,
    )
    now_ms = time.time_ns() // 1_000_000
    builder.append(0, now_ms, what.key, what.value, [(_NotUtf8("x"), b"")])
    return bytes(builder.build())


class _NotUtf8(str):
    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"
