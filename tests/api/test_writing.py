"""Writing over HTTP, read back from a real broker."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from api.health.kafka_check import UNAVAILABLE
from api.http import bodies
from contracts.messages import Interaction, Quote
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import INTERACTIONS, QUOTES
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S

from .conftest import Serve
from .problems import problem

QUOTE = {"type": "quote", "instrument_id": 4, "price": 30.72, "size": 100, "ts": 1629061628123}
TRADE = {"type": "interaction", "user_id": "ABC", "instrument_id": 4, "ts": 1629061628123}
LEGACY = {"userid": "ABC", "price": "10.273", "timestamp": "1629061628", "instrid": 4}


class Record(msgspec.Struct, frozen=True):
    partition: int
    key: bytes
    value: bytes


def read_back(broker: str, topic: str, partitions: int, count: int) -> list[Record]:
    """Return the first `count` records of a topic."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "tests"})
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        records: list[Record] = []
        while len(records) < count:
            message = consumer.poll(PATIENCE_S)
            assert message is not None, f"{len(records)} of {count} records in {topic}"
            assert message.error() is None, message.error()
            records.append(Record(message.partition(), message.key(), message.value()))
        assert consumer.poll(0.2) is None, f"more than {count} records in {topic}"
        return records
    finally:
        consumer.close()


async def test_accepted_events_stand_in_the_log_under_their_keys(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    quotes = [{**QUOTE, "instrument_id": i} for i in range(20)]
    trades = [{**TRADE, "user_id": f"Zoë {i}"} for i in range(10)]
    answer = await writing.post("/v1/events", json=[*quotes, *trades])
    assert (answer.status_code, answer.json()) == (
        202,
        {"quotes": 20, "interactions": 10, "late": 0},
    )

    found = read_back(broker, QUOTES.name, topology.quotes, 20)
    assert sorted(msgspec.json.decode(r.value, type=Quote).instrument_id for r in found) == list(
        range(20)
    )
    for record in found:
        quote = msgspec.json.decode(record.value, type=Quote)
        assert b'"type"' not in record.value
        assert record.key == str(quote.instrument_id).encode()
        assert record.partition == instrument_partition(quote.instrument_id, topology.quotes)
    for record in read_back(broker, INTERACTIONS.name, topology.interactions, 10):
        trade = msgspec.json.decode(record.value, type=Interaction)
        assert record.key == trade.user_id.encode()
        assert record.partition == user_partition(trade.user_id, topology.interactions)


async def test_one_bad_event_keeps_its_whole_request_out_of_the_log(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    answer = await writing.post("/v1/events", json=[QUOTE, {**QUOTE, "price": -1}, TRADE])
    assert problem(answer) == (422, "invalid-events")
    reason = "price: must be a number of at least 1e-18, got -1"
    assert answer.json()["errors"] == [{"index": 1, "reason": reason, "field": "price"}]
    one = "1 of 3 events invalid, none accepted; the first is at index 1"
    assert answer.json()["detail"] == f"{one}: {reason}"
    await writing.post("/v1/events", json={**QUOTE, "price": 7})
    (record,) = read_back(broker, QUOTES.name, topology.quotes, 1)
    assert msgspec.json.decode(record.value, type=Quote).price == 7


async def test_a_trade_of_the_first_version_comes_back_and_is_published_as_both(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    answer = await writing.post("/add/request", json=LEGACY)
    assert (answer.status_code, answer.json()) == (200, {"resp": LEGACY})
    (quote,) = read_back(broker, QUOTES.name, topology.quotes, 1)
    assert json.loads(quote.value) == {
        "instrument_id": 4,
        "price": 10.273,
        "ts": 1629061628000,
    }
    (trade,) = read_back(broker, INTERACTIONS.name, topology.interactions, 1)
    assert json.loads(trade.value) == {
        "user_id": "ABC",
        "instrument_id": 4,
        "price": 10.273,
        "ts": 1629061628000,
    }


async def test_readiness_shows_whether_kafka_has_the_recorded_partitions(
    serve: Serve, namespace: str, broker: str, topology: Topology, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(kafka=plain(broker), namespace=namespace) as client:
        answer = await client.get("/health/ready")
        assert answer.json() == {"status": "ready", "redis": "ok", "kafka": "ok"}
    async with serve(kafka=plain(broker)) as client:
        assert (await client.get("/health/ready")).json()["kafka"].startswith("unavailable")
    assert "nothing can be published: " in caplog.text
    assert "quotes has 2 partitions" in caplog.text


class TestKafkaAway:
    async def test_writing_ends_in_bounded_time_with_what_was_acknowledged(
        self, client: httpx.AsyncClient
    ) -> None:
        answer = await client.post("/v1/events", json=[QUOTE, TRADE])
        assert problem(answer) == (503, "log-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["acknowledged"] == 0
        assert "acknowledged 0 of 2 messages" in answer.json()["detail"]
        metrics = (await client.get("/metrics")).text
        assert 'api_published_total{outcome="failed",topic="quotes"} 1.0' in metrics

    async def test_it_is_ready_to_read_and_only_its_log_says_which_broker_is_away(
        self, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers = [await client.get("/health/ready") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert {answer.json()["kafka"] for answer in answers} == {UNAVAILABLE}
        assert caplog.text.count("nothing can be published: 127.0.0.1:") == 1


class TestBodies:
    async def test_a_body_that_trickles_is_given_up_in_bounded_time(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.2)

        async def trickle() -> AsyncIterator[bytes]:
            for _ in range(500):
                yield b" "
                await asyncio.sleep(0.01)

        answer = await client.post("/v1/events", content=trickle())
        assert problem(answer) == (408, "incomplete-body")
        assert answer.headers["connection"] == "close"

    async def test_a_body_without_an_announced_size_is_measured_as_it_comes(
        self, client: httpx.AsyncClient
    ) -> None:
        sent = 0

        async def announcing_nothing() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(100):
                sent += 1
                yield b" " * 65536

        answer = await client.post("/v1/events", content=announcing_nothing())
        assert answer.status_code == 413
        assert sent == 17, "blocks of 64 KiB, of which 16 are allowed"
