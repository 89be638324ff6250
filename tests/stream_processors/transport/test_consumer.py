"""A worker's consumer: what it delivers, asks and seeks, also while its broker is away."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeVar

import faust
import pytest
import structlog
from aiokafka.errors import OffsetOutOfRangeError
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.cimpl import NewTopic
from faust.types import TP

from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from stream_processors.transport import consumer_thread
from stream_processors.transport.batches import BatchSchema, RecordBatch
from stream_processors.transport.consumer import BatchConsumer
from stream_processors.transport.consumer_thread import PartitionReader
from tests.chaos.servers.restartable import Restartable
from tests.patience import until

from .conftest import Write, new_topic, publish


class App(faust.App):
    """A worker of a topic that keeps what it gets, with room controlled by the test."""

    def __init__(self, broker: str, topic: str, group: str) -> None:
        super().__init__(
            group,
            broker=f"batches://{broker}",
            store="memory://",
            topic_disable_leader=True,
            web_enabled=False,
            broker_session_timeout=10.0,
            broker_rebalance_timeout=6.0,
        )
        self.kafka = plain(broker)
        self.partitions = self
        self.tps = {TP(topic, 0), TP(topic, 1)}
        self.begun: list[set[TP]] = []
        self.readers: dict[TP, PartitionReader] = {}
        self.room: set[TP] = set()
        self.batches: list[RecordBatch] = []
        self.failures: list[tuple[TP, object, Exception]] = []
        self.flushed: dict[TP, int] = {}

        @self.agent(self.topic(topic, schema=BatchSchema(), acks=True))
        async def agent(batches: Any) -> None:
            async for batch in batches:
                self.batches.append(batch)

    def _create_directories(self) -> None:
        pass

    def begin(self, readers: Mapping[TP, PartitionReader]) -> None:
        self.begun.append(set(readers))
        self.readers.update(readers)

    def hungry(self) -> set[TP]:
        return self.room

    def fail(self, tp: TP, life: object, error: Exception) -> None:
        self.failures.append((tp, life, error))

    def flushed_offsets(self) -> dict[TP, int]:
        return self.flushed

    async def seek(self, tp: TP, offset: int, life: object) -> None:
        await self.readers[tp].seek(offset, life)
        self.room.add(tp)

    def values(self, tp: TP, life: object = "life") -> list[bytes | None]:
        return [v for b in self.batches if (b.tp, b.life) == (tp, life) for v in b.values()]


AnyApp = TypeVar("AnyApp", bound=App)


@pytest.fixture
def topic(broker: str) -> Iterator[str]:
    with new_topic(broker, partitions=2) as name:
        yield name


@pytest.fixture
def group() -> str:
    return f"transport-{uuid.uuid4().hex[:8]}"


async def started(app: AnyApp) -> AnyApp:
    app.finalize()
    await app.start()
    return app


@pytest.fixture
async def app(broker: str, topic: str, group: str) -> AsyncIterator[App]:
    app = await started(App(broker, topic, group))
    try:
        await until(lambda: app.begun == [app.tps], "both partitions begin, once")
        yield app
    finally:
        await app.stop()


async def test_a_partition_is_delivered_once_it_has_a_position_and_room_and_blocks_only_itself(
    app: App, write: Write
) -> None:
    one, other = sorted(app.tps)
    await asyncio.to_thread(write, [b"a", b"b"], one.partition)
    await asyncio.to_thread(write, [b"c"], other.partition)
    await app.seek(one, 1, "life")
    await until(lambda: app.values(one) == [b"b"], "what was written behind the offset")
    assert app.values(other) == []
    app.room.discard(one)
    await asyncio.to_thread(write, [b"waits"], one.partition)
    await app.seek(other, 0, "life")
    for n in range(1, 4):
        await until(lambda n=n: len(app.values(other)) == n, "the other one flows")
        await asyncio.to_thread(write, [b"%d" % n], other.partition)
    assert app.values(one) == [b"b"]
    values = [b"a", b"b", b"waits"]
    for life in ("after", "again"):
        await app.seek(one, 0, life)
        await until(lambda life=life: app.values(one, life) == values, f"all for {life}")
    assert app.failures == []  # no offset was ever committed


@pytest.mark.kafka_only  # Tansu answers a fetch beyond the end with nothing
async def test_an_offset_out_of_range_is_reported_and_the_others_flow(
    app: App, write: Write
) -> None:
    lost, other = sorted(app.tps)
    await app.seek(lost, 1000, "lost")
    await app.seek(other, 0, "life")
    await until(lambda: app.failures, "the failure")
    ((tp, life, error),) = app.failures
    assert (tp, life) == (lost, "lost")
    assert isinstance(error, OffsetOutOfRangeError)
    await asyncio.to_thread(write, [b"a"], other.partition)
    await until(lambda: app.values(other) == [b"a"], "the other one's record")
    await app.seek(lost, 0, "life")
    await asyncio.to_thread(write, [b"b"], lost.partition)
    await until(lambda: app.values(lost) == [b"b"], "after another seek")
    assert len(app.failures) == 1


async def test_group_and_leader_say_what_is_committed_whose_a_partition_is_and_where_an_epoch_ends(
    app: App, write: Write, broker: str, group: str
) -> None:
    tp, client, consumer = min(app.tps), brokers.Admin(plain(broker)), app.consumer
    assert isinstance(consumer, BatchConsumer)
    app.flushed = {tp: 7, TP("another", 0): 3}
    assert await consumer.force_commit()
    assert not await consumer.force_commit()
    answers = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    committed = await asyncio.wrap_future(answers[group])
    assert [(p.topic, p.partition, p.offset) for p in committed.topic_partitions] == [(*tp, 7)]
    # One broker leads forever, so its only epoch ends with the log; it knows no later one.
    reader = app.readers[tp]
    await asyncio.to_thread(write, [b"a", b"b"], tp.partition)
    assert await reader.epoch_end(0) == (None if brokers.is_tansu(client) else 2)
    assert await reader.epoch_end(7) is None
    assert await reader.is_ours()
    assert not await PartitionReader(consumer._thread, TP(tp.topic, 2)).is_ours()
    # As of a member that was away while the others took over its partitions.
    consumer._thread._ensure_consumer()._coordinator.generation -= 1
    assert not await reader.is_ours()


async def test_a_second_worker_makes_both_restart(
    app: App, broker: str, topic: str, group: str, write: Write
) -> None:
    await app.seek(min(app.tps), 0, "before")
    second = await started(App(broker, topic, group))
    try:
        await until(lambda: second.begun and len(app.begun) > 1, "each has begun something")
        await until(lambda: app.begun[-1] | second.begun[-1] == app.tps, "both have both")
        assert app.begun[-1] & second.begun[-1] == set()
        for at in (app, second):
            (mine,) = at.begun[-1]
            await asyncio.to_thread(write, [b"a"], mine.partition)
            await at.seek(mine, 0, "after")
            await until(lambda at=at, mine=mine: at.values(mine, "after"), "its record")
            # The position of the earlier life ended with its assignment.
            assert at.values(mine, "before") == []
            for not_mine in at.readers.keys() - at.begun[-1]:
                await at.seek(not_mine, 0, "not assigned")
        assert app.failures == second.failures == []
    finally:
        await second.stop()
    await until(lambda: app.begun[-1] == app.tps, "the first one has both again")


async def test_a_seek_request_of_faust_begins_nothing_twice_nor_while_the_group_rebalances(
    app: App,
) -> None:
    consumer = app.consumer
    assert isinstance(consumer, BatchConsumer)
    await consumer.perform_seek()
    subscription = consumer._thread._ensure_consumer()._subscription
    consumer._begun = None
    subscription.begin_reassignment()
    await consumer.perform_seek()
    assert app.begun == [app.tps]


class Following(App):
    """Resumes where it was, in each assignment."""

    def begin(self, readers: Mapping[TP, PartitionReader]) -> None:
        super().begin(readers)
        for tp in readers:
            self.add_future(self.seek(tp, self.followed(tp)[0], len(self.begun)))

    def followed(self, tp: TP) -> tuple[int, list[bytes | None]]:
        """Return the end of the contiguous batches from offset 0, and their values."""
        at, values = 0, []
        for batch in self.batches:
            if batch.tp == tp and batch.start == at:
                at, values = batch.end, values + batch.values()
        return at, values


@pytest.fixture
async def follower(own_broker: Restartable) -> Following:
    topic = f"transport-{uuid.uuid4().hex[:8]}"
    brokers.create(brokers.Admin(plain(own_broker.address)), [NewTopic(topic, 2, 1)])
    app = await started(Following(own_broker.address, topic, "outages"))
    await until(lambda: app.begun == [app.tps], "both partitions begin, once")
    return app


@pytest.mark.slow
async def test_a_broker_that_comes_back_is_read_from_where_the_fetch_had_ended(
    follower: Following, own_broker: Restartable
) -> None:
    tp = min(follower.tps)
    await asyncio.to_thread(publish, own_broker.address, tp.topic, [b"before"])
    await until(lambda: follower.followed(tp) == (1, [b"before"]), "what was there before")
    await asyncio.to_thread(own_broker.kill)
    own_broker.start()
    await asyncio.to_thread(own_broker.await_ready)
    await asyncio.to_thread(publish, own_broker.address, tp.topic, [b"after"])
    await until(lambda: follower.followed(tp) == (2, [b"before", b"after"]), "what came after")
    assert follower.failures == []
    # It leads again, in a later epoch than that of the first record.
    epochs = {batch.leader_epoch for batch in follower.batches if batch.tp == tp}
    assert [await follower.readers[tp].epoch_end(epoch) for epoch in sorted(epochs)] == [1, 2]
    await follower.stop()


@pytest.mark.slow
async def test_whose_a_partition_is_is_asked_until_the_coordinator_answers(
    follower: Following, own_broker: Restartable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_thread, "ANSWER_WITHIN_S", 0.2)
    own_broker.signal(signal.SIGSTOP)
    with structlog.testing.capture_logs() as logs:
        asking = asyncio.ensure_future(follower.readers[min(follower.tps)].is_ours())
        await until(lambda: logs or asking.done(), "it does not answer in time")
    own_broker.signal(signal.SIGCONT)
    is_ours = await asking
    await follower.stop()
    assert is_ours


@pytest.mark.slow
async def test_a_worker_stops_in_time_even_without_the_broker(
    follower: Following, own_broker: Restartable
) -> None:
    await until(lambda: follower.room == follower.tps, "both are fetched")
    own_broker.kill()
    begun_s = time.monotonic()
    await follower.stop()
    assert time.monotonic() - begun_s < 30
