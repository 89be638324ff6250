"""Rejected records over HTTP: the newest ones, and counts by reason."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer

from api.pipeline import dead_letters, log_ends, tail
from api.pipeline.answers import DeadLetter
from api.pipeline.dead_letters import NewestDeadLetters, reasons_of
from contracts.keyspace import Keyspace
from infra.local.process import free_port
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.patience import PATIENCE_S, until_true

from .conftest import Serve

PRICE = "Expected `float` >= 1e-18 - at `$.price`"
BAD_QUOTE = b'{"instrument_id":4,"price":0,"ts":1629061628123}'
URL = "/v1/pipeline/dead_letters"

Headers = dict[str, str | bytes | None]
ServeUncached = Callable[[], AbstractAsyncContextManager[httpx.AsyncClient]]


def reject(broker: str, offset: int, reason: str = PRICE, **record: Any) -> None:
    """Put a record into the dead letters, as a worker does."""
    of = {"topic": "quotes", "key": b"4", "value": BAD_QUOTE, **record}
    place = {"topic": of["topic"], "partition": "1", "offset": str(offset)}
    write(broker, of["topic"], of["value"], of["key"], {"reason": reason, **place})


def write(
    broker: str, topic: str, value: bytes | None, key: bytes | None, headers: Headers
) -> None:
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(f"{topic}.dead-letters", value, key, headers=headers)
    assert producer.flush(PATIENCE_S) == 0


@pytest.fixture
def serve_uncached(
    serve: Serve, broker: str, topology: Topology, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> ServeUncached:
    """An application that reads again each time, however long Kafka takes."""
    monkeypatch.setattr(log_ends, "ANSWER_WITHIN_S", PATIENCE_S)
    monkeypatch.setattr(tail, "READ_WITHIN_S", PATIENCE_S)
    for module in (log_ends, dead_letters):
        monkeypatch.setattr(module, "KEPT_S", 0.0)

    @contextlib.asynccontextmanager
    async def serving() -> AsyncIterator[httpx.AsyncClient]:
        async with serve(namespace=namespace, kafka=plain(broker)) as client:
            await read(client)  # Kafka knows the leaders of topics that were just made
            yield client

    return serving


@until_true
async def read(client: httpx.AsyncClient, query: str = "", url: str = URL) -> Any:
    body = (await client.get(f"{url}{query}")).raise_for_status().json()
    assert body["kafka"] == "ok"
    return body.get("dead_letters", body)


async def test_the_newest_are_shown_with_their_offsets_reasons_and_values(
    serve_uncached: ServeUncached, broker: str
) -> None:
    async with serve_uncached() as client:
        assert await read(client) == []
        reject(broker, 41)
        reject(broker, 7, "not UTF-8: …", topic="interactions", key=None, value=b"a\xffb")
        newest, other = await read(client)
        assert newest.pop("rejected_at_ms") >= other.pop("rejected_at_ms") > 0
        place = {"topic": "quotes", "partition": 1, "offset": 41, "reason": PRICE}
        assert other == {**place, "key": "4", "value": BAD_QUOTE.decode(), "value_bytes": 48}
        assert (newest["key"], newest["value"], newest["value_bytes"]) == (None, "a\\xffb", 3)
        # New records are read, and earlier ones are kept.
        reject(broker, 42, value=None)
        assert [letter["offset"] for letter in await read(client, "?topic=quotes")] == [42, 41]
        assert [letter["value"] for letter in await read(client, "?limit=1")] == [None]


async def test_reasons_are_counted_by_topic_without_what_the_records_held(
    serve_uncached: ServeUncached, broker: str
) -> None:
    for user in ("ABC", "DEF", "it's"):
        reason = f"user_id {user!r} does not belong to partition 3: produce with the key in ASCII"
        reject(broker, 1, reason, topic="interactions")
    reject(broker, 2, "Invalid enum value 'ABC' - at `$.event`", topic="interactions")
    async with serve_uncached() as client:
        body = await read(client, url="/v1/pipeline")
    by_topic = {topic["topic"]: topic for topic in body["topics"]}
    assert (by_topic["quotes"]["dead_letters"], by_topic["quotes"]["reasons"]) == (0, [])
    reasons = by_topic["interactions"]["reasons"]
    assert all(reason.pop("last_at_ms") > 0 for reason in reasons)
    assert reasons == [
        {
            "reason": "user_id … does not belong to partition …: produce with the key in ASCII",
            "count": 3,
        },
        {"reason": "Invalid enum value … - at `$.event`", "count": 1},
    ]


async def test_of_many_the_newest_are_held_and_of_large_ones_the_beginning(
    serve_uncached: ServeUncached, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "NEWEST", 3)
    for offset in range(10):
        reject(broker, offset, value=b"x" * 100_000, key=b"y" * 2_000)
    async with serve_uncached() as client:
        letters = await read(client)
        assert [letter["offset"] for letter in letters] == [9, 8, 7]
        sizes = {(len(letter["value"]), letter["value_bytes"]) for letter in letters}
        assert sizes == {(tail.SHOWN_BYTES, 100_000)}
        assert {len(letter["key"]) for letter in letters} == {tail.SHOWN_BYTES}
        pipeline = await read(client, url="/v1/pipeline")
        assert pipeline["topics"][0]["reasons"][0]["count"] == 3
        reject(broker, 10)
        assert [letter["offset"] for letter in await read(client)] == [10, 9, 8]


async def test_what_is_too_much_for_one_reading_is_read_on_by_the_next(
    serve_uncached: ServeUncached, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "BYTES_MOST", 1)
    async with serve_uncached() as client:
        for offset in range(3):
            reject(broker, offset)
        counts = [len(await read(client)) for _ in range(4)]
    assert counts == [1, 2, 3, 3]


async def test_records_not_written_by_a_worker_are_shown_as_such(
    serve_uncached: ServeUncached, broker: str
) -> None:
    write(broker, "quotes", b"x", None, {"partition": "²", "offset": "9" * 30})
    async with serve_uncached() as client:
        (letter,) = await read(client)
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("quotes", None, None)
    assert "not written by a worker" in letter["reason"]


async def test_a_recreated_log_is_read_from_its_beginning(
    serve_uncached: ServeUncached, broker: str, store_url: str, namespace: str, topology: Topology
) -> None:
    async with serve_uncached() as client:
        for offset in (1, 2):
            reject(broker, offset)
        assert len(await read(client)) == 2
        admin = brokers.admin(plain(broker))
        brokers.delete(admin, ["quotes.dead-letters"])
        with connect(store_url, "tests") as store:
            ensure(admin, store, Keyspace(namespace), {})
        assert await read(client) == []
        reject(broker, 3)
        assert [letter["offset"] for letter in await read(client)] == [3]


@pytest.mark.kafka_only
async def test_a_log_that_is_missing_is_named_and_takes_nothing_of_the_others(
    serve_uncached: ServeUncached, broker: str
) -> None:
    async with serve_uncached() as client:
        reject(broker, 41)
        assert len(await read(client)) == 1
        brokers.delete(brokers.admin(plain(broker)), ["interactions.dead-letters"])
        reject(broker, 42)
        async with asyncio.timeout(PATIENCE_S):
            while "interactions.dead-letters: " not in (await client.get(URL)).json()["kafka"]:
                pass
        letters = (await client.get(URL)).json()["dead_letters"]
        assert [letter["offset"] for letter in letters] == [42, 41]
        body = (await client.get("/v1/pipeline")).json()
    assert "interactions.dead-letters: " in body["kafka"]
    by_topic = {topic["topic"]: topic for topic in body["topics"]}
    assert (by_topic["quotes"]["lag"], by_topic["quotes"]["dead_letters"]) == (0, 2)
    assert by_topic["quotes"]["reasons"][0]["count"] == 2
    assert (by_topic["interactions"]["lag"], by_topic["interactions"]["dead_letters"]) == (0, None)


async def test_without_kafka_the_answer_says_why_nothing_is_shown(
    client: httpx.AsyncClient,
) -> None:
    body = (await client.get(URL)).raise_for_status().json()
    assert body["kafka"].startswith("127.0.0.1:")
    assert body["dead_letters"] == []


async def test_a_kafka_that_says_nothing_is_waited_for_in_bounded_time() -> None:
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        newest = NewestDeadLetters(plain(f"127.0.0.1:{port}"), lambda: 0.0)
        async with asyncio.timeout(PATIENCE_S):
            failure = await newest.refresh({"quotes": range(3)})
    assert failure is not None
    assert "timed out" in failure.lower()
    assert newest.newest(None, 10) == []


async def test_a_kafka_that_went_away_takes_nothing_of_what_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tail, "READ_WITHIN_S", 0.1)
    newest = NewestDeadLetters(plain(f"127.0.0.1:{free_port()}"), lambda: 0.0)
    known = DeadLetter("quotes", 0, 41, 1, PRICE, None, None, 0)
    newest._of["quotes"].take(tail.Piece(1, [(0, known)], is_to_the_end=True))
    assert await newest.refresh({"quotes": range(2)}) is not None
    assert newest.newest("quotes", 10) == [known]


def test_what_kafka_dropped_is_dropped() -> None:
    of = dead_letters._Newest()
    letters = [(n, DeadLetter("quotes", 0, n, n, PRICE, None, None, 0)) for n in range(5)]
    assert of.start(range(5)) == 0
    of.take(tail.Piece(5, letters, is_to_the_end=True))
    assert of.start(range(3, 5)) is None
    assert [offset for offset, _ in of.letters] == [3, 4]


def test_the_most_frequent_reasons_come_first_and_are_bounded() -> None:
    frequent = [f"of kind {chr(ord('a') + n)}" for n in range(15) for _ in range(n)]
    letters = (DeadLetter("quotes", 0, 0, 1, reason, None, None, 0) for reason in frequent)
    reasons = reasons_of(letters)
    assert (reasons[0].reason, reasons[0].count) == ("of kind o", 14)
    assert len(reasons) == dead_letters.REASONS
