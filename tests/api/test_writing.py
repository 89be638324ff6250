"""Writing over HTTP, read back from a real broker, and quotes that will make no bar."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from api.events.lateness import LIVE_MS, Folded, late_of
from api.health.kafka_check import UNAVAILABLE
from api.http import bodies
from contracts.bars import BarValue
from contracts.instruments import Instrument, decode_instrument_record
from contracts.keyspace import FOLDING_FIELD, Keyspace
from contracts.messages import Interaction, Quote
from contracts.partitioning import instrument_partition, user_partition
from contracts.times import MINUTE_MS
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES
from infra.local.process import Server, running
from runtime.kafka.config import plain
from runtime.topology import Topology
from stream_processors.bars.fold import BAR
from stream_processors.bars.table import NO_MINUTE, BarTable
from tests.examples import examples
from tests.patience import PATIENCE_S
from tests.stream_processors.bars.test_bars import columns_of

from .asking import problem
from .conftest import LEGACY, NOW_MS, QUOTE, RUNNING_S, TOPOLOGY, TRADE, Filled, Serve


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


APPLE: dict[str, Any] = {
    "symbol": "AAPL",
    "name": "Apple Inc.",
    "categories": ["tech"],
    "listed": False,
    "attributes": {"lot": 1, "currency": "USD"},
}


async def test_what_is_accepted_stands_in_the_log_under_its_instrument(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    ids = (4, 5, 2**63 - 1)
    for i in ids:
        answer = await writing.put(f"/v1/instruments/{i}", json=APPLE)
        assert (answer.status_code, answer.json()) == (202, {"instrument_id": i})
    del writing.headers["Content-Type"]  # there is no body to tell of
    answer = await writing.delete("/v1/instruments/4")
    assert (answer.status_code, answer.json()) == (202, {"instrument_id": 4})

    found = read_back(broker, INSTRUMENTS.name, topology.instruments, 4)
    decoded = [decode_instrument_record(record.key, record.value) for record in found]
    described = [Instrument(instrument_id=i, **{**APPLE, "categories": ("tech",)}) for i in ids]
    expected = [*zip(ids, described, strict=True), (4, None)]
    assert sorted(decoded, key=str) == sorted(expected, key=str)
    for record, (i, _) in zip(found, decoded, strict=True):
        assert record.partition == instrument_partition(i, topology.instruments)


async def test_many_instruments_stand_in_the_log_or_none_does(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    many = [{**APPLE, "instrument_id": i, "symbol": f"S.{i}"} for i in range(1000)]
    for broken, reason, field in (
        ({**many[7], "name": ""}, "name: must be text of at least 1 character", "name"),
        ({**many[7], "ticker": "A"}, "ticker: unknown field, known: ", "ticker"),
        ({**many[7], "attributes": {"a": "x" * 9000}}, "bytes", None),
        (many[0], "instrument_id 0 appears twice", "instrument_id"),
    ):
        answer = await writing.put("/v1/instruments", json=[*many[:7], broken, *many[8:]])
        assert problem(answer) == (422, "invalid-events")
        (error,) = answer.json()["errors"]
        assert (error["index"], error.get("field")) == (7, field)
        assert reason in error["reason"]
    assert problem(await writing.put("/v1/instruments", json=[*many, APPLE]))[0] == 422
    answer = await writing.put("/v1/instruments", json=many)
    assert (answer.status_code, answer.json()) == (202, {"instruments": 1000})
    found = read_back(broker, INSTRUMENTS.name, topology.instruments, 1000)
    decoded = dict(decode_instrument_record(record.key, record.value) for record in found)
    entry = {**many[7], "categories": ("tech",)}
    assert (decoded.keys(), decoded[7]) == (set(range(1000)), Instrument(**entry))


INSTRUMENT, RETAINED_MINUTES = 4, 60
BAR_NOW = BarValue(1, 2, 0.5, 1.5, 3, 4, 5, 0, 1, (0, 0))

quotes = st.builds(
    lambda instrument, minute: Quote(instrument_id=instrument, price=1, ts=minute * MINUTE_MS),
    st.integers(0, 1),
    st.integers(0, 9),
)


@examples(200)
@given(st.lists(quotes, max_size=6), st.lists(quotes, min_size=1, max_size=6), st.integers(1, 4))
def test_late_is_what_a_worker_drops_as_late(
    log: list[Quote], request: list[Quote], retention: int
) -> None:
    table = BarTable(retention, renew_after_s=1)

    def late(quote: Quote) -> int:
        columns = columns_of([quote])
        keys = table.keys(columns.instrument_id, columns.ts_ms)
        missing = table.missing(keys)
        table.insert(missing, [NO_MINUTE] * len(missing), np.empty(0, BAR))
        return table.add(keys, columns, columns.ts_ms)[0]

    for quote in log:
        late(quote)
    newest_ms = {i: max((q.ts for q in log if q.instrument_id == i), default=0) for i in (0, 1)}
    reach_ms = (retention - 1) * MINUTE_MS
    folded = {instrument_id: Folded(ms, reach_ms) for instrument_id, ms in newest_ms.items()}
    assert late_of(request, folded).count == sum(map(late, request))


async def post(client: httpx.AsyncClient, *ages_ms: int) -> dict[str, object]:
    quotes = [
        {"type": "quote", "instrument_id": INSTRUMENT, "price": 1.5, "ts": NOW_MS - age}
        for age in ages_ms
    ]
    answer = await client.post("/v1/events", json=quotes)
    assert answer.status_code == 202, answer.text
    return msgspec.json.decode(answer.content, type=dict[str, object])


@pytest.fixture
def folding(filled: Filled) -> None:
    """Have workers retain an hour of bars, of which one instrument has its newest now."""
    position = filled.keys.position(QUOTES, instrument_partition(INSTRUMENT, TOPOLOGY.quotes))
    text = f'{{"bars_retention_minutes":{RETAINED_MINUTES}}}'
    filled.store.hset(position, FOLDING_FIELD, text)


@pytest.mark.usefixtures("topology", "folding")
async def test_the_answer_counts_them_and_says_from_when_on_bars_are_retained(
    writing: httpx.AsyncClient, filled: Filled
) -> None:
    age = RETAINED_MINUTES * MINUTE_MS
    assert await post(writing, age) == {"quotes": 1, "interactions": 0, "late": 0}
    filled.bars(INSTRUMENT, {RUNNING_S: BAR_NOW})
    assert await post(writing, 0, age, LIVE_MS, age - MINUTE_MS, 2 * age) == {
        "quotes": 5,
        "interactions": 0,
        "late": 2,
        "why_late": "bars of instrument 4 are retained from 2021-08-15T20:08Z on, "
        "BARS_RETENTION_MINUTES before its newest quote; older quotes make no bar",
    }


@pytest.mark.usefixtures("topology")
async def test_without_redis_it_is_not_known(
    serve: Serve, broker: str, where: dict[str, Any], own_store: Server
) -> None:
    where["redis_url"] = own_store.address
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(own_store))
        keys, store = Keyspace(where["namespace"]), Redis.from_url(own_store.address)
        store.hset(keys.topics(), mapping=TOPOLOGY.as_hash())
        async with serve(kafka=plain(broker), **where) as client:
            assert await post(client, MINUTE_MS) == {"quotes": 1, "interactions": 0, "late": 0}
            stack.close()
            answer = await post(client, LIVE_MS + 1)
    assert answer == {"quotes": 1, "interactions": 0, "late": None}
