"""What the broker says of a log, and how records are published to it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic
from faust.types import TP

from contracts.topics import BARS, QUOTES
from infra.local.kafka.jars import NoKafkaError
from infra.local.process import free_port
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from stream_processors.transport import log as log_module
from stream_processors.transport.log import (
    Log,
    LogBounds,
    LogEnd,
    TopicRecreatedError,
    is_reachable,
)
from stream_processors.transport.producer import Outgoing, Producer
from tests.chaos.proxy import Network
from tests.chaos.servers.kafka import Kafka, own_kafka
from tests.chaos.servers.restartable import started
from tests.patience import eventually

from .conftest import WAIT_S, Transactions, Write


@pytest.fixture
async def log(broker: str) -> Log:
    return Log(plain(broker))


async def test_bounds_are_the_topics_id_and_the_logs_ends_and_a_record_is_read_by_its_offset(
    broker: str, log: Log, topic: str, write: Write
) -> None:
    empty = await log.bounds(topic, 0)
    assert empty == LogBounds(empty.topic_id, 0, 0)
    write([b"one", None])
    bounds = await log.bounds(topic, 0)
    assert bounds.topic_id == empty.topic_id
    assert bounds.earliest == 0
    is_tansu = brokers.is_tansu(brokers.Admin(plain(broker)))
    assert bounds.end == (1 if is_tansu else 2)  # Tansu: the first of the last batch + 1
    found = [await log.record(topic, 0, offset) for offset in (0, 1, 2, 9)]
    assert found == [(None, b"one"), (None, None), None, None]


@pytest.mark.kafka_only
async def test_the_end_is_that_of_what_is_committed(
    log: Log, topic: str, write: Write, transactions: Transactions
) -> None:
    write([b"one", b"two"])
    transactions.begin([b"three"])
    assert (await log.bounds(topic, 0)).end == 2
    assert await log.ends([TP(topic, 0)]) == {TP(topic, 0): LogEnd(3, stable=2)}
    transactions.commit()
    assert (await log.bounds(topic, 0)).end == 4
    assert await log.ends([TP(topic, 0)]) == {TP(topic, 0): LogEnd(4, stable=4)}


async def test_a_check_waits_for_a_topic_that_does_not_exist_and_raises_once_it_was_recreated(
    broker: str, log: Log
) -> None:
    name, client = f"transport-{uuid.uuid4().hex[:8]}", brokers.Admin(plain(broker))
    await log.ends([])
    checking = asyncio.create_task(log.check(name, "another"))
    done, _ = await asyncio.wait([checking], timeout=0.5)
    assert not done
    await asyncio.to_thread(brokers.create, client, [NewTopic(name, 1, 1)])
    try:
        with pytest.raises(TopicRecreatedError):
            await asyncio.wait_for(checking, WAIT_S)
        topic_id = (await log.bounds(name, 0)).topic_id
        await log.check(name, topic_id)
        await asyncio.to_thread(brokers.delete, client, [name])
        await asyncio.to_thread(brokers.create, client, [NewTopic(name, 1, 1)])
        with pytest.raises(TopicRecreatedError, match=topic_id):
            await log.check(name, topic_id)
    finally:
        brokers.delete(client, [name])


class Broker:
    """Answers requests on the test's command."""

    def __init__(self, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[tuple[set[str], asyncio.Future[dict[str, str]]]] = []
        self._requested = asyncio.Event()
        monkeypatch.setattr(log, "_ids", self._ids)

    async def _ids(self, topics: Collection[str]) -> dict[str, str]:
        self.requests.append((set(topics), asyncio.get_running_loop().create_future()))
        self._requested.set()
        return await self.requests[-1][1]

    async def requested(self, n: int) -> None:
        while len(self.requests) < n:
            self._requested.clear()
            await asyncio.wait_for(self._requested.wait(), WAIT_S)

    def answer(self, n: int, answer: dict[str, str] | Exception) -> None:
        future = self.requests[n][1]
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


@pytest.fixture
async def fake(log: Log, monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(log, monkeypatch)


async def passes(check: "asyncio.Task[None]") -> None:
    await asyncio.wait_for(check, WAIT_S)


def checks(log: Log, *topics: str) -> "list[asyncio.Task[None]]":
    return [asyncio.create_task(log.check(topic, f"id of {topic}")) for topic in topics]


def ids(*topics: str) -> dict[str, str]:
    return {topic: f"id of {topic}" for topic in topics}


async def test_a_running_request_does_not_serve_later_callers(log: Log, fake: Broker) -> None:
    (first,) = checks(log, "a")
    await fake.requested(1)
    later = checks(log, "a", "a", "b")
    await asyncio.sleep(0)
    fake.answer(0, ids("a"))
    await passes(first)
    await fake.requested(2)
    assert not any(check.done() for check in later)
    fake.answer(1, {"a": "another", "b": "id of b"})
    for check in later[:2]:
        with pytest.raises(TopicRecreatedError):
            await passes(check)
    await passes(later[2])
    assert [topics for topics, _ in fake.requests] == [{"a"}, {"a", "b"}]


async def test_a_caller_that_gives_up_does_not_affect_the_others(log: Log, fake: Broker) -> None:
    gives_up, stays = checks(log, "a", "a")
    await fake.requested(1)
    gives_up.cancel()
    await asyncio.wait([gives_up])
    fake.answer(0, ids("a"))
    await passes(stays)


async def test_a_request_without_a_reply_is_retried_and_a_permanent_error_reaches_all_callers(
    log: Log, fake: Broker
) -> None:
    waiting = checks(log, "a", "a")
    for n in range(2):
        await fake.requested(n + 1)
        fake.answer(n, KafkaException(KafkaError(KafkaError._TRANSPORT)))
    await fake.requested(3)
    fake.answer(2, ValueError("no such request"))
    for check in waiting:
        with pytest.raises(ValueError, match="no such request"):
            await passes(check)
    (again,) = checks(log, "a")  # nothing ended
    await fake.requested(4)
    fake.answer(3, ids("a"))
    await passes(again)


def test_topics_are_reachable_if_all_exist_and_their_leaders_answer(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert topology.quotes
    # Kafka needs a moment to elect leaders for new topics.
    eventually(lambda: is_reachable(plain(broker), [QUOTES.name, BARS.name]), "all are reachable")
    assert not is_reachable(plain(broker), [QUOTES.name, "a-topic-that-nobody-made"])
    monkeypatch.setattr(log_module, "_TIMEOUT_S", 0.2)
    assert not is_reachable(plain(f"127.0.0.1:{free_port()}"), [QUOTES.name])


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


LEADS, FOLLOWS = 1, 2


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    """Three brokers: one leads the partitions of `quotes`, another one follows it."""
    with Network() as network:
        try:
            kafka = own_kafka(tmp_path / "kafka", network, workers=1, brokers=3)
        except NoKafkaError as why:
            pytest.skip(str(why))
        with started(*kafka.servers):
            replicas = [[LEADS, FOLLOWS]] * 2
            topic = NewTopic(QUOTES.name, len(replicas), replica_assignment=replicas)
            brokers.create(brokers.Admin(plain(kafka.bootstrap_servers)), [topic])
            yield kafka


@pytest.mark.slow
def test_a_topic_with_a_lagging_follower_is_unreachable_as_its_leader_may_accept_nothing(
    kafka: Kafka,
) -> None:
    def reached() -> bool:
        return is_reachable(plain(kafka.bootstrap_servers), [QUOTES.name])

    follows = kafka.servers[FOLLOWS - 1]
    eventually(reached, "both replicas are in sync")
    follows.kill()
    eventually(lambda: not reached(), "the leader is alone")
    follows.start()
    eventually(reached, "both replicas are in sync again")
