"""The content of the API's spans, and the trace header of published records."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from contracts.topics import INTERACTIONS, Topic
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.otlp import AT_ONCE, SPAN, TRACE, TRACEPARENT, Receiver, receiving
from tests.patience import PATIENCE_S

from .conftest import LEGACY, RUNNING_S, TRADE, Serve
from .streaming import served, value, worker

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
