"""What the broker says of a log, and how records are published to it."""

import asyncio
import signal
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
from tests.chaos.servers.restartable import Restartable, started
from tests.patience import eventually, until

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


Requests = list[tuple[set[str], asyncio.Future[dict[str, str]]]]


@pytest.fixture
def requests(log: Log, monkeypatch: pytest.MonkeyPatch) -> Requests:
    """What the broker is asked for: topics, and the answer to give."""
    asked: Requests = []

    async def ids(topics: Collection[str]) -> dict[str, str]:
        asked.append((set(topics), asyncio.get_running_loop().create_future()))
        return await asked[-1][1]

    monkeypatch.setattr(log, "_ids", ids)
    return asked


async def requested(requests: Requests, n: int) -> asyncio.Future[dict[str, str]]:
    await until(lambda: len(requests) == n, f"request {n}")
    return requests[-1][1]


def checks(log: Log, *topics: str) -> "list[asyncio.Task[None]]":
    return [asyncio.create_task(log.check(topic, f"id of {topic}")) for topic in topics]


A_IS_THERE = {"a": "id of a"}


@pytest.mark.parametrize("gives_up", [False, True])
async def test_a_running_request_serves_neither_later_callers_nor_only_those_that_wait(
    log: Log, requests: Requests, *, gives_up: bool
) -> None:
    first, stays = checks(log, "a", "a")
    answer = await requested(requests, 1)
    if gives_up:
        first.cancel()
        await asyncio.wait([first])
    later = checks(log, "a", "b")
    await asyncio.sleep(0)
    answer.set_result(A_IS_THERE)
    await asyncio.wait_for(stays, WAIT_S)
    answer = await requested(requests, 2)
    assert not any(check.done() for check in later)
    answer.set_result({"a": "another", "b": "id of b"})
    with pytest.raises(TopicRecreatedError):
        await asyncio.wait_for(later[0], WAIT_S)
    await asyncio.wait_for(later[1], WAIT_S)
    assert [topics for topics, _ in requests] == [{"a"}, {"a", "b"}]


async def test_a_request_without_a_reply_is_retried_and_a_permanent_error_reaches_all_callers(
    log: Log, requests: Requests
) -> None:
    waiting = checks(log, "a", "a")
    for n in (1, 2):
        answer = await requested(requests, n)
        answer.set_exception(KafkaException(KafkaError(KafkaError._TRANSPORT)))
    (await requested(requests, 3)).set_exception(ValueError("no such request"))
    for check in waiting:
        with pytest.raises(ValueError, match="no such request"):
            await asyncio.wait_for(check, WAIT_S)
    (again,) = checks(log, "a")  # nothing ended
    (await requested(requests, 4)).set_result(A_IS_THERE)
    await asyncio.wait_for(again, WAIT_S)


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


@pytest.mark.slow
async def test_records_behind_others_of_their_partition_wait_for_a_broker_that_stands_still(
    own_broker: Restartable,
) -> None:
    brokers.create(brokers.Admin(plain(own_broker.address)), [NewTopic("waiting", 1, 1)])
    producer = Producer(plain(own_broker.address))
    producer._producer._request_timeout_ms = 500
    await producer.start()
    own_broker.signal(signal.SIGSTOP)
    publishing = [
        asyncio.create_task(producer.publish_all("waiting", 0, [Outgoing(b"%d" % n, b"", [])]))
        for n in range(4)
    ]
    await asyncio.wait(publishing, timeout=3)
    own_broker.signal(signal.SIGCONT)
    await asyncio.gather(*publishing)
    await producer.stop()
    # Kafka may have taken a record and not answered in time: then it comes twice.
    published = await read(own_broker.address, "waiting", len(publishing))
    assert {one.key for one in published} <= {b"%d" % n for n in range(4)}


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
