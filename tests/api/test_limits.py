"""Write limits, and the cost of a rejection."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from limits import parse

from api.http.problems import Problem
from api.http.quotas import Quota

from .conftest import Serve
from .keys import entry, write_keys
from .problems import problem, slug

QUOTE = {"type": "quote", "instrument_id": 4, "price": 30.72, "ts": 1629061628123}
FULL = json.dumps([QUOTE] * 1000).encode()
FULL_OF_NOTHING = json.dumps([{}] * 1000).encode()


async def test_without_keys_all_share_one_quota_that_once_used_up_has_a_retry_time(
    serve: Serve,
) -> None:
    elsewhere = {"X-Forwarded-For": "192.0.2.7", "X-API-Key": "made-up"}
    async with serve(write_limit="1000/minute") as client:
        assert slug(await client.post("/v1/events", content=FULL_OF_NOTHING)) == "invalid-events"
        answer = await client.post("/v1/events", content=FULL, headers=elsewhere)
    assert problem(answer) == (429, "rate-limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    body = answer.json()
    assert (body["limit"], body["window_s"]) == (1000, 60)
    assert body["detail"].startswith("At most 1000 events in 60 s: try again after ")


async def test_changes_take_nothing_of_what_a_key_may_read(serve: Serve, tmp_path: Path) -> None:
    scopes = ["read", "admin"]
    file = write_keys(tmp_path / "keys.json", entry("operator", scopes=scopes, limit="1/hour"))
    async with serve(api_keys_file=file) as client:
        client.headers["X-API-Key"] = "operator"
        change = await client.delete("/v1/instruments/4")
        assert problem(change) == (503, "log-unavailable")
        assert change.headers["ratelimit"].startswith('"events";r=0;')
        read = await client.get("/v1/users/nobody/history")
        assert problem(read) == (404, "unknown-user")
        assert read.headers["ratelimit"].startswith('"requests";r=0;')
        for again in (
            await client.delete("/v1/instruments/4"),
            await client.get("/v1/users/nobody/history"),
        ):
            assert problem(again) == (429, "rate-limited")
            assert "try again after" in again.json()["detail"]


async def test_each_event_of_a_request_counts_and_a_request_without_any_counts_as_one(
    serve: Serve,
) -> None:
    async with serve(write_limit="1001/minute") as client:
        for path in ("/v1/events", "/add/request", "/v1/feedback"):
            assert slug(await client.post(path, content=b"{")) == "malformed-json"
        assert slug(await client.post("/v1/events", content=FULL)) == "rate-limited"
        # It is refused as a whole, and leaves the rest to smaller ones.
        answer = await client.post("/v1/events", content=b"[{},{}]")
        assert slug(answer) == "invalid-events"


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, "unauthorized"),
        ({"X-API-Key": "used-up"}, "rate-limited"),
        ({"X-API-Key": "good", "Content-Length": str(1024 * 1024 + 1)}, "too-large"),
    ],
)
async def test_a_request_is_refused_before_a_byte_of_its_body_is_read(
    serve: Serve, headers: dict[str, str], refusal: str
) -> None:
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"{"

    async with serve(write_limit="1000/minute", api_keys="used-up,good") as client:
        used_up = {"X-API-Key": "used-up"}
        await client.post("/v1/events", content=FULL_OF_NOTHING, headers=used_up)
        assert slug(await client.post("/v1/events", content=body(), headers=headers)) == refusal
    assert not read


def test_a_window_begins_with_a_first_request_and_lasts_the_limits_period() -> None:
    now_s = 1000.0
    quota = Quota("requests", lambda: now_s)
    limit = parse("2/minute")
    quota.take("a", limit, 1)
    now_s += 59.9
    quota.take("a", limit, 1)
    with pytest.raises(Problem) as refused:
        quota.take("a", limit, 1)
    assert refused.value.kind.retry_after_s == 1
    now_s += 0.1
    quota.take("a", limit, 1)
    quota.take("a", limit, 1)
    with pytest.raises(Problem) as refused:
        quota.take("a", limit, 1)
    assert refused.value.kind.retry_after_s == 60
    quota.take("b", limit, 1)


def test_an_equal_limit_goes_on_with_the_window_and_another_one_begins_its_own() -> None:
    """The key file is read again when any key changes: that resets no other key's window."""
    quota = Quota("requests")
    quota.take("a", parse("1/hour"), 1)
    with pytest.raises(Problem):
        quota.take("a", parse("1/hour"), 1)
    quota.take("a", parse("2/hour"), 1)
