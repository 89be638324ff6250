"""Replacing a producer that publishes no more, and the frequency of checks of Kafka.

librdkafka can simulate a fatal error. confluent-kafka does not expose this, so these tests call
the library.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from api.events.producer import LastingProducer
from api.events.publisher import LogUnavailableError, Publisher
from api.health.kafka_check import KafkaCheck
from api.http.metrics import Metrics
from contracts.messages import Quote
from contracts.topics import FEEDBACK, INTERACTIONS, QUOTES
from infra.local.kafka.server import kafka
from infra.local.process import Server, free_port, running
from infra.local.tansu import tansu
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S, until_true

OUT_OF_ORDER_SEQUENCE_NUMBER = 45
AFTER_THE_HEAD_OF_AN_OBJECT = object.__basicsize__
QUOTE = Quote(instrument_id=4, price=30.72, ts=1629061628123)


def end(producer: Producer) -> None:
    """Have a producer meet a fatal error."""
    (path,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*")
    librdkafka = ctypes.CDLL(str(path))
    handle = ctypes.c_void_p.from_address(id(producer) + AFTER_THE_HEAD_OF_AN_OBJECT)
    librdkafka.rd_kafka_test_fatal_error(handle, OUT_OF_ORDER_SEQUENCE_NUMBER, b"tests")


@until_true
async def published(publisher: Publisher) -> None:
    try:
        await publisher.publish([QUOTE])
    except LogUnavailableError as error:
        raise AssertionError from error


async def test_after_a_fatal_error_a_new_producer_publishes(
    broker: str, topology: Topology, caplog: pytest.LogCaptureFixture
) -> None:
    producer = LastingProducer(plain(broker))
    publisher = Publisher(producer, Metrics())
    async with producer.running():
        await publisher.publish([QUOTE])
        for _ in range(2):
            end(ended := producer.current)
            async with asyncio.timeout(PATIENCE_S):
                while producer.current is ended:  # noqa: ASYNC110 (a thread replaces it)
                    await asyncio.sleep(0.01)
            await publisher.publish([QUOTE])
            assert await KafkaCheck(producer).result(topology) == "ok"
    assert caplog.text.count("Kafka needs a new producer") == 2


@pytest.mark.parametrize("make", [tansu, pytest.param(kafka, marks=pytest.mark.slow)])
async def test_after_the_broker_stood_still_messages_are_published_and_readiness_knows(
    make: Callable[[int, Path], Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, topics = make(free_port(), tmp_path), (QUOTES, INTERACTIONS, FEEDBACK)
    monkeypatch.setattr("api.events.producer.DELIVERY_TIMEOUT_MS", 500)
    producer = LastingProducer(plain(server.address))
    publisher, check = Publisher(producer, Metrics()), KafkaCheck(producer)
    with running(server) as process:
        created = [NewTopic(topic.name, 1, 1) for topic in topics]
        brokers.create(brokers.Admin(plain(server.address)), created)
        async with producer.running():
            await published(publisher)
            process.send_signal(signal.SIGSTOP)
            # On a busy machine it takes a moment.
            await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
            with pytest.raises(LogUnavailableError):
                await publisher.publish([QUOTE])
            process.send_signal(signal.SIGCONT)
            assert "Message timed out" in await check.result(Topology(1, 1, 1))
            await published(publisher)
            assert await check.result(Topology(1, 1, 1)) == "ok"


async def test_a_fatal_error_that_comes_at_the_end_lets_it_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer = LastingProducer(plain("127.0.0.1:1"))
    monkeypatch.setattr(producer, "_poll", producer._stopping.wait)  # it does not see the error
    async with producer.running():
        end(producer.current)
    assert not hasattr(producer, "current")


async def test_however_many_ask_at_once_and_soon_after_kafka_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Topology] = []

    async def ask(_: KafkaCheck, topology: Topology) -> str:
        made.append(topology)
        await asyncio.sleep(0)
        return "ok"

    monkeypatch.setattr(KafkaCheck, "result", ask)
    monkeypatch.setattr("api.health.kafka_check.KEPT_S", PATIENCE_S)
    check, topology = KafkaCheck(LastingProducer(plain("127.0.0.1:1"))), Topology(1, 1, 1)
    for _ in range(2):
        await asyncio.gather(*(check.status(topology) for _ in range(50)))
    assert len(made) == 1
    monkeypatch.setattr("api.health.kafka_check.KEPT_S", 0)
    await check.status(topology)
    assert len(made) == 2
