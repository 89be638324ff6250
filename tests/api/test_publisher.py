"""Publishing: producers that end, what Kafka says of the pipeline, and traces in spans and records.

librdkafka can simulate a fatal error. confluent-kafka does not expose this, so these tests call
the library.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from api.events.producer import LastingProducer
from api.events.publisher import LogUnavailableError, Publisher
from api.health.kafka_check import KafkaCheck
from api.health.log_ends import LogEnds
from api.health.progress import STALLED_AFTER_MS, pipeline_answer
from api.http.metrics import Metrics
from contracts.messages import Quote, encode, key_of
from contracts.topics import DEAD_LETTERS_SUFFIX, FEEDBACK, INTERACTIONS, QUOTES, STREAMED, Topic
from infra.local.kafka.server import kafka
from infra.local.process import Server, free_port, running
from infra.local.tansu import tansu
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.otlp import AT_ONCE, SPAN, TRACE, TRACEPARENT, Receiver, receiving
from tests.patience import PATIENCE_S, until_true

from .conftest import LEGACY, NOW_MS, RUNNING_S, TRADE, Filled, Serve
from .streaming import served, value, worker

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


def place(next_offset: int, age_ms: int) -> list[bytes | None]:
    return [b"%d" % next_offset, b"2", b"%d" % (NOW_MS - age_ms), None]


NOWHERE = [None] * 4


@until_true
async def with_kafka_answer(client: httpx.AsyncClient) -> dict[str, Any]:
    """Return the answer, once Kafka knows the leaders of topics that were just made."""
    body: dict[str, Any] = (await client.get("/v1/pipeline")).raise_for_status().json()
    assert body["kafka"] == "ok"
    return body


@pytest.mark.parametrize(
    ("position", "end", "held_back", "state", "lag"),
    [
        (NOWHERE, 5, 0, "new", 5),
        (NOWHERE, 5, 5, "held back", 5),
        (NOWHERE, None, 0, "new", None),
        (place(5, 1), 5, 0, "current", 0),
        (place(5, STALLED_AFTER_MS + 1), 5, 0, "current", 0),
        (place(5, 1), 9, 0, "behind", 4),
        (place(5, 1), 9, 3, "behind", 4),
        (place(5, STALLED_AFTER_MS + 1), 9, 0, "stalled", 4),
        (place(5, STALLED_AFTER_MS + 1), 9, 3, "stalled", 4),
        (place(5, STALLED_AFTER_MS + 1), 9, 4, "held back", 4),
        (place(5, 1), 3, 0, "current", 0),
        (place(5, 1), None, 0, "unknown", None),
    ],
)
def test_a_partition_is_as_far_as_position_and_end_say(
    position: list[bytes | None], end: int | None, held_back: int, state: str, lag: int | None
) -> None:
    place = ("quotes", 0)
    ends = LogEnds({} if end is None else {place: end}, held_back={place: held_back})
    (topic,) = pipeline_answer({"quotes": [position]}, ends, NOW_MS).topics
    (partition,) = topic.partitions
    assert (partition.state, partition.lag, topic.lag) == (state, lag, lag)


async def test_without_kafka_positions_are_shown_and_why_there_is_no_lag(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    position = {"next": 7, "incarnation": 0, "updated_at_ms": NOW_MS - 250, "late": 3}
    filled.store.hset(filled.keys.position(QUOTES, 1), mapping=position)
    answer = await client.get("/v1/pipeline")
    assert answer.status_code == 200
    body = answer.json()
    assert body["kafka"].startswith("127.0.0.1:")
    assert [topic["topic"] for topic in body["topics"]] == [topic.name for topic in STREAMED]
    quotes = body["topics"][0]
    assert (quotes["lag"], quotes["rate"], quotes["dead_letters"]) == (None, None, None)
    assert [topic["late"] for topic in body["topics"]] == [3, None, None, None]
    assert quotes["partitions"][1] == {
        "partition": 1,
        "state": "unknown",
        "next": 7,
        "incarnation": 0,
        "end": None,
        "lag": None,
        "age_ms": 250,
    }


@pytest.mark.kafka_only
async def test_lag_dead_letters_and_rates_are_those_of_the_log(
    serve: Serve,
    store_url: str,
    broker: str,
    topology: Topology,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.health.log_ends.ANSWER_WITHIN_S", 60.0)
    monkeypatch.setattr("api.health.log_ends.KEPT_S", 0.0)
    # Publishing may take a while.
    monkeypatch.setattr("api.health.log_ends._RATE_OVER_S", 3600.0)
    quotes = [Quote(instrument_id=4, price=1, ts=NOW_MS + n) for n in range(10)]
    pipeline = Pipeline(broker, store_url, namespace, topology, tmp_path)
    async with serve(namespace=namespace, kafka=plain(broker)) as client:

        async def quotes_state() -> dict[str, Any]:
            found: dict[str, Any] = (await with_kafka_answer(client))["topics"][0]
            return found

        assert (await quotes_state())["lag"] == 0
        pipeline.publish(quotes)
        dead = QUOTES.name + DEAD_LETTERS_SUFFIX
        pipeline.publish_raw((dead, key_of(quote), encode(quote), 0) for quote in quotes[:3])
        after = await quotes_state()
        assert (after["lag"], after["dead_letters"]) == (10, 3)
        assert after["rate"] > 0
        assert sum(p["end"] for p in after["partitions"]) == 10
        assert {p["state"] for p in after["partitions"]} == {"new"}


@pytest.mark.kafka_only
async def test_records_held_back_by_an_open_transaction_are_lag_with_their_own_state(
    serve: Serve, broker: str, topology: Topology, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer({"bootstrap.servers": broker, "transactional.id": namespace})
    producer.init_transactions()
    producer.begin_transaction()
    for partition in range(topology.quotes):
        producer.produce(QUOTES.name, b"{}", partition=partition)
    producer.flush()
    monkeypatch.setattr("api.health.log_ends.KEPT_S", 0.0)
    async with serve(namespace=namespace, kafka=plain(broker)) as client:
        held = (await with_kafka_answer(client))["topics"][0]
        producer.abort_transaction()
    assert held["lag"] == topology.quotes
    assert {p["state"] for p in held["partitions"]} == {"held back"}


AS_A_CLIENT = {"traceparent": TRACEPARENT}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name, its in AT_ONCE.items():
        monkeypatch.setenv(name, its)
    with receiving() as its_receiver:
        yield its_receiver


@pytest.fixture
async def traced(serve: Serve, broker: str, receiver: Receiver) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has Kafka, and sends spans."""
    async with serve(kafka=plain(broker), otel_exporter_otlp_endpoint=receiver.url) as client:
        yield client


def headers_of(broker: str, topic: Topic, partitions: int) -> dict[str, Any]:
    """Return the headers of a topic's only record."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "tests"})
    try:
        consumer.assign([TopicPartition(topic.name, p, 0) for p in range(partitions)])
        message = consumer.poll(PATIENCE_S)
        assert message is not None
        assert message.error() is None, message.error()
        return dict(message.headers() or [])
    finally:
        consumer.close()


@pytest.mark.parametrize(("path", "body"), [("/v1/events", TRADE), ("/add/request", LEGACY)])
async def test_the_trace_of_a_request_goes_on_in_its_records(
    traced: httpx.AsyncClient,
    receiver: Receiver,
    broker: str,
    topology: Topology,
    path: str,
    body: dict[str, Any],
) -> None:
    answer = await traced.post(path, json=body, headers=AS_A_CLIENT)
    assert answer.is_success
    request = await asyncio.to_thread(receiver.one, f"POST {path}")
    assert (request.service, request.trace, request.parent) == ("tickrec-api", TRACE, SPAN)
    assert request.attributes["http.response.status_code"] == answer.status_code
    assert request.attributes["http.request.id"] == answer.headers["X-Request-Id"]
    sends = [span for span in receiver.spans if span.name.startswith("send ")]
    assert [(span.trace, span.parent) for span in sends] == [(TRACE, request.span)]
    headers = headers_of(broker, INTERACTIONS, topology.interactions)
    assert headers == {"traceparent": f"00-{TRACE}-{sends[0].span}-01".encode()}


async def test_a_request_without_a_trace_begins_one_and_no_span_names_a_user(
    traced: httpx.AsyncClient, receiver: Receiver, broker: str, topology: Topology
) -> None:
    assert (await traced.delete("/v1/users/ABC")).status_code == 202
    request = await asyncio.to_thread(receiver.one, "DELETE /v1/users/{user_id}")
    assert request.parent == ""
    assert "ABC" not in str(receiver.spans)
    headers = headers_of(broker, INTERACTIONS, topology.interactions)
    assert request.trace in headers["traceparent"].decode()


async def test_a_stream_is_a_span_that_says_what_was_sent_and_who_ended_it(
    where: dict[str, Any], receiver: Receiver
) -> None:
    async with (
        served(**where, otel_exporter_otlp_endpoint=receiver.url) as application,
        worker(**where) as workers,
    ):
        await workers.write([(4, RUNNING_S, value(1))])
        async with application.stream(4, 5) as stream:
            await stream.until("live")
        of_client = await asyncio.to_thread(receiver.one, "GET /v1/stream/bars")
        assert client_attributes(of_client.attributes) == (2, 1, "client")
        async with application.stream(4) as stream:
            await stream.until("live")
            application.live.close()
            assert (await stream.next())[0] == "end"
    of_server = receiver.named("GET /v1/stream/bars")[-1]
    assert client_attributes(of_server.attributes) == (1, 1, "server")


def client_attributes(attributes: Any) -> tuple[Any, ...]:
    return tuple(
        attributes[f"tickrec.stream.{name}"] for name in ("instruments", "events", "ended_by")
    )
