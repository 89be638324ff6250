import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from infra.local.process import free_port
from runtime.kafka.config import plain
from stream_processors.transport.producer import Outgoing, Producer

from .conftest import WAIT_S


@pytest.fixture
async def producer(broker: str) -> AsyncIterator[Producer]:
    producer = Producer(plain(broker))
    await producer.start()
    yield producer
    await producer.stop()


async def read(broker: str, topic: str, n: int) -> list[ConsumerRecord[bytes, bytes]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TP(topic, 0)])
        async with asyncio.timeout(WAIT_S):
            return [await consumer.getone() for _ in range(n)]
    finally:
        await consumer.stop()


async def test_a_published_record_is_stored_as_given(
    broker: str, topic: str, producer: Producer
) -> None:
    assert await producer.answers()
    assert await producer.partitions_of(topic) == 1
    await producer.publish(topic, 0, b"value")
    await producer.publish(topic, 0, None, key=b"key", headers=[("reason", b"why")])
    first, second = await read(broker, topic, 2)
    assert (first.key, first.value, first.headers) == (None, b"value", ())
    assert (second.key, second.value, second.headers) == (b"key", None, (("reason", b"why"),))


async def test_records_published_together_keep_their_order_over_many_requests(
    broker: str, topic: str, producer: Producer
) -> None:
    records = [Outgoing(b"%d" % n, bytes(100_000), []) for n in range(30)]  # 3 requests
    await producer.publish_all(topic, 0, records)
    assert [one.key for one in await read(broker, topic, 30)] == [one.key for one in records]


async def test_a_start_without_a_broker_fails() -> None:
    with pytest.raises(KafkaConnectionError, match="bootstrap"):
        await Producer(plain(f"127.0.0.1:{free_port()}")).start()
