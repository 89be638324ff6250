"""Write limits, and the cost of a rejection."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import tenacity
from limits import parse
from pydantic import ValidationError

from api.http.problems import Problem
from api.http.quotas import WriteQuota
from api.settings import ApiSettings
from tests.patience import PATIENCE_S

from .conftest import Filled, Serve
from .keys import entry, write_keys

QUOTE = {"type": "quote", "instrument_id": 4, "price": 30.72, "ts": 1629061628123}
FULL = json.dumps([QUOTE] * 1000).encode()
FULL_OF_NOTHING = json.dumps([{}] * 1000).encode()


@pytest.fixture
def limited(serve: Serve, store_url: str, filled: Filled) -> Serve:
    """Serve with a quota; nothing listens at its Kafka address, and nothing needs to."""

    def serving(write_limit: str, api_keys: str = "") -> AbstractAsyncContextManager[Any]:
        return serve(
            redis_url=store_url,
            namespace=filled.keys.namespace,
            write_limit=write_limit,
            api_keys=api_keys,
        )

    return serving


def kind(answer: httpx.Response) -> str:
    """Return the problem's slug."""
    slug: str = answer.json()["type"]
    return slug.removeprefix("urn:tickrec:problem:")


async def test_a_writer_whose_quota_is_used_up_gets_a_retry_time(limited: Serve) -> None:
    async with limited("1000/minute") as client:
        assert kind(await client.post("/v1/events", content=FULL_OF_NOTHING)) == "invalid-events"
        answer = await client.post("/v1/events", content=FULL)
    assert (answer.status_code, kind(answer)) == (429, "rate-limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    problem = answer.json()
    assert (problem["limit"], problem["window_s"]) == (1000, 60)
    assert problem["detail"].startswith("At most 1000 events in 60 s: try again after ")


async def test_a_change_costs_one_however_many_braces_its_body_has(
    serve: Serve, store_url: str, filled: Filled, tmp_path: Path
) -> None:
    file = write_keys(tmp_path / "keys.json", entry("operator", scopes=["admin"], limit="4/hour"))
    body = {"symbol": "AAPL", "name": "{{{{{{{{", "attributes": {"lot": 1}}
    settings = {"redis_url": store_url, "namespace": filled.keys.namespace}
    async with serve(**settings, api_keys_file=file) as client:
        client.headers["X-API-Key"] = "operator"
        answers = [
            await client.put("/v1/instruments/4", json=body),
            await client.put("/v1/experiments", json={"name": "a", "weights": {"default": 1}}),
            await client.post("/v1/models/promote", json={"why": "{{{{"}),
            await client.put("/v1/instruments/4", json=body),
        ]
        one_more = await client.put("/v1/instruments/4", json=body)
    assert [kind(answer) for answer in answers if answer.status_code == 429] == []
    assert kind(one_more) == "rate-limited"


async def test_each_event_of_a_request_counts_and_a_request_without_any_counts_as_one(
    limited: Serve,
) -> None:
    async with limited("1001/minute") as client:
        for path in ("/v1/events", "/add/request", "/v1/feedback"):
            assert kind(await client.post(path, content=b"{")) == "malformed-json"
        assert kind(await client.post("/v1/events", content=FULL)) == "rate-limited"
        # It is refused as a whole, and leaves the rest to smaller ones.
        answer = await client.post("/v1/events", content=b"[{},{}]")
        assert kind(answer) == "invalid-events"


async def test_keys_have_quotas_of_their_own(limited: Serve) -> None:
    async with limited("1000/minute", api_keys="first,second") as client:
        for key in ("first", "second"):
            headers = {"X-API-Key": key}
            answer = await client.post("/v1/events", content=FULL_OF_NOTHING, headers=headers)
            assert kind(answer) == "invalid-events"
            answer = await client.post("/v1/events", content=b"{", headers=headers)
            assert kind(answer) == "rate-limited"
            assert key not in answer.text


async def test_without_keys_all_share_one_quota_wherever_they_come_from(limited: Serve) -> None:
    async with limited("1000/minute") as client:
        await client.post("/v1/events", content=FULL_OF_NOTHING)
        headers = {"X-Forwarded-For": "192.0.2.7", "X-API-Key": "made-up"}
        assert kind(await client.post("/v1/events", content=b"{", headers=headers)) == (
            "rate-limited"
        )


async def test_a_quota_comes_back_when_its_window_ends(limited: Serve) -> None:
    async with limited("1000/second") as client:

        async def asked(body: bytes) -> str:
            return kind(await client.post("/v1/events", content=body))

        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(AssertionError),
            stop=tenacity.stop_after_delay(PATIENCE_S),
            wait=tenacity.wait_fixed(0.05),
        ):
            with attempt:
                # On a busy machine a window may end between the two.
                await asked(FULL_OF_NOTHING)
                assert await asked(b"{") == "rate-limited"
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(AssertionError),
            stop=tenacity.stop_after_delay(PATIENCE_S),
            wait=tenacity.wait_fixed(0.05),
        ):
            with attempt:
                assert await asked(b"{") == "malformed-json"


async def test_reading_is_not_limited(limited: Serve) -> None:
    async with limited("1000/minute") as client:
        await client.post("/v1/events", content=FULL_OF_NOTHING)
        assert kind(await client.get("/v1/users/nobody/history")) == "unknown-user"


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, "unauthorized"),
        ({"X-API-Key": "used-up"}, "rate-limited"),
        ({"X-API-Key": "good", "Content-Length": str(1024 * 1024 + 1)}, "too-large"),
    ],
)
async def test_a_request_is_refused_before_a_byte_of_its_body_is_read(
    limited: Serve, headers: dict[str, str], refusal: str
) -> None:
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"{"

    async with limited("1000/minute", api_keys="used-up,good") as client:
        used_up = {"X-API-Key": "used-up"}
        await client.post("/v1/events", content=FULL_OF_NOTHING, headers=used_up)
        assert kind(await client.post("/v1/events", content=body(), headers=headers)) == refusal
    assert not read


def test_a_refusal_takes_nothing_of_the_quota() -> None:
    quota = WriteQuota(parse("1000/hour"))
    quota.spend("a", 999)
    for _ in range(3):
        with pytest.raises(Problem):
            quota.spend("a", 2)
    quota.spend("a", 1)


@pytest.mark.parametrize("limit", ["999/second", "much", "1000/fortnight", "0/second"])
def test_a_limit_that_a_full_request_can_never_pass_is_no_setting(limit: str) -> None:
    with pytest.raises(ValidationError, match=r"write_limit"):
        ApiSettings(write_limit=limit)


def test_a_limit_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRITE_LIMIT", "5000 per 10 minutes")
    limit = ApiSettings().write_limit
    assert (limit.amount, limit.get_expiry()) == (5000, 600)
