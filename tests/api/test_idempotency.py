"""A retry with the same `Idempotency-Key` publishes nothing again, whatever happened before."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api.http import idempotency
from api.http.idempotency import IN_PROGRESS_S, REPLAYED
from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from contracts.keyspace import IDEMPOTENCY_KEPT_S
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES
from infra.local.process import Server, free_port, running
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.cases import each
from tests.patience import PATIENCE_S, until

from .asking import becomes, problem, refused_fields
from .conftest import LEGACY, QUOTE, Filled, Serve
from .keys import entry, write_keys
from .test_main import api
from .test_writing import APPLE, read_back

Headers = dict[str, str]
KEY: Headers = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}


def kept(filled: Filled) -> list[str]:
    """Return the names of all idempotency keys."""
    return list(filled.store.scan_iter(f"{filled.keys.namespace}:idempotency:*"))


async def post(client: httpx.AsyncClient, price: float = 1, headers: Headers = KEY) -> Any:
    return await client.post("/v1/events", json={**QUOTE, "price": price}, headers=headers)


FIRST = (202, False)
"""The status of what is published, and not replayed."""


async def outcome(
    client: httpx.AsyncClient, price: float = 1, headers: Headers = KEY
) -> tuple[int, bool]:
    answer = await post(client, price, headers)
    return answer.status_code, REPLAYED in answer.headers


async def test_the_same_request_gets_the_first_answer_and_stands_in_the_log_once(
    writing: httpx.AsyncClient, broker: str, topology: Topology, filled: Filled
) -> None:
    assert problem(await post(writing, -1)) == (422, "invalid-events")
    assert not kept(filled), "what published nothing leaves its key free"
    first = await post(writing)
    again = await post(writing)
    unquoted = await post(writing, headers={"Idempotency-Key": KEY["Idempotency-Key"].strip('"')})
    assert (first.status_code, REPLAYED in first.headers) == (202, False)
    for retry in (again, unquoted):
        assert (retry.status_code, retry.content) == (202, first.content)
        assert retry.headers[REPLAYED] == "true"
        assert retry.headers["content-type"] == first.headers["content-type"]
    for method, path, body in (
        ("PUT", "/v1/instruments/4", APPLE),
        ("POST", "/add/request", LEGACY),
    ):
        own = {"Idempotency-Key": method}
        answers = [await writing.request(method, path, json=body, headers=own) for _ in range(2)]
        assert [REPLAYED in answer.headers for answer in answers] == [False, True]
        assert answers[0].is_success
        assert answers[0].content == answers[1].content

    read_back(broker, QUOTES.name, topology.quotes, 2)
    read_back(broker, INTERACTIONS.name, topology.interactions, 1)
    read_back(broker, INSTRUMENTS.name, topology.instruments, 1)
    for name in kept(filled):
        assert IDEMPOTENCY_KEPT_S - PATIENCE_S < filled.store.ttl(name) <= IDEMPOTENCY_KEPT_S


async def test_a_key_is_good_for_one_request_of_one_api_key(
    serve: Serve, broker: str, topology: Topology, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path / "keys.json", entry("one"), entry("other"))
    async with serve(kafka=plain(broker), api_keys_file=keys) as client:
        one, other = ({**KEY, "X-API-Key": name} for name in ("one", "other"))
        assert (await post(client, 1, one)).status_code == 202
        assert (await post(client, 1, one)).headers[REPLAYED] == "true"
        assert problem(await post(client, 2, one)) == (422, "idempotency-key-reused")
        of_feedback = await client.post("/v1/feedback", json=QUOTE, headers=one)
        assert problem(of_feedback) == (422, "idempotency-key-reused")
        assert await outcome(client, 2, other) == FIRST
    read_back(broker, QUOTES.name, topology.quotes, 2)


@each("key", ["", "two words", "x" * 256, "Zoë"])
async def test_an_invalid_key_is_named(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post("/v1/events", json=QUOTE, headers={b"Idempotency-Key": key.encode()})
    assert refused_fields(answer) == ["Idempotency-Key"]


async def test_of_requests_at_the_same_time_one_is_published(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    answers = await asyncio.gather(*[post(writing) for _ in range(8)])
    for answer in answers:
        if answer.status_code != 202:
            assert problem(answer) == (409, "request-in-progress")
            assert answer.headers["retry-after"] == "1"
    assert sum(a.status_code == 202 and REPLAYED not in a.headers for a in answers) == 1
    read_back(broker, QUOTES.name, topology.quotes, 1)


async def test_what_kafka_did_not_acknowledge_is_never_published_again(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    assert problem(await post(client)) == (503, "log-unavailable")
    retry = await post(client)
    assert problem(retry) == (409, "outcome-unknown")
    assert "Kafka acknowledged 0 of 1 messages" in retry.json()["detail"]
    assert "retry-after" not in retry.headers


@pytest.mark.stack
async def test_a_process_that_was_killed_leaves_an_unknown_outcome(
    filled: Filled, store_url: str, tmp_path: Path
) -> None:
    environment = {"REDIS_URL": store_url, "NAMESPACE": filled.keys.namespace}

    def process() -> Server:  # whose Kafka never answers
        return api(free_port(), tmp_path, environment)

    async def asked(server: Server) -> httpx.Response:
        async with httpx.AsyncClient(base_url=server.address, timeout=PATIENCE_S) as client:
            answer: httpx.Response = await post(client)
            return answer

    with running(killed := process()) as one:
        first = asyncio.create_task(asked(killed))
        await until(
            lambda: any(filled.store.ttl(n) > IN_PROGRESS_S for n in kept(filled)), "a claim"
        )
        one.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await first
        with running(other := process()):
            (name,) = kept(filled)
            filled.store.expire(name, IDEMPOTENCY_KEPT_S)  # however long that took to start
            assert problem(await asked(other)) == (409, "request-in-progress")
            filled.store.expire(name, IDEMPOTENCY_KEPT_S - IN_PROGRESS_S)  # as time goes by
            answer = await asked(other)
            assert problem(answer) == (409, "outcome-unknown")
            assert "it was interrupted" in answer.json()["detail"]


async def test_without_redis_nothing_is_published_with_a_key(
    serve: Serve, own_store: Server, broker: str, topology: Topology
) -> None:
    async with serve(redis_url=own_store.address, kafka=plain(broker)) as client:
        assert problem(await post(client, 1)) == (503, "store-unavailable")
        assert (await post(client, 2, headers={})).status_code == 202
        with running(own_store):
            await becomes(FIRST, outcome, client, 3)
    found = read_back(broker, QUOTES.name, topology.quotes, 2)
    assert sorted(msgspec.json.decode(record.value)["price"] for record in found) == [2, 3]


@each("late", ["SET", "EXPIRE"])
async def test_a_claim_that_redis_answers_too_late_is_soon_free(
    writing: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    monkeypatch.setattr(idempotency, "IN_PROGRESS_S", 1)
    answer, sent, answered_late = Store.answer, list[str](), list[str]()

    async def answer_late(store: Store, read: Read[object]) -> object:
        def noted() -> Read[object]:
            answers = None
            while True:
                try:
                    commands = read.send(answers)  # type: ignore[arg-type]
                except StopIteration as stop:
                    return stop.value
                sent.extend(str(command[0]) for command in commands)
                answers = yield commands

        found = await answer(store, noted())
        if late in sent and not answered_late:
            answered_late.append(late)
            raise StoreUnavailableError("no answer in 0.2 s")
        return found

    monkeypatch.setattr(Store, "answer", answer_late)
    key = {"Idempotency-Key": late}
    assert problem(await post(writing, 1, key)) == (503, "store-unavailable")
    await becomes(FIRST, outcome, writing, 1, key)
