"""Quotas, the bound on concurrent requests, and the cost of a rejection."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from limits import parse
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api.events.publisher import Publisher
from api.http import limits, load_shedding
from api.http.failures import problem_response
from api.http.limits import WATCHED
from api.http.load_shedding import LoadShedding
from api.http.problems import Problem
from api.http.quotas import Quota
from contracts.messages import Quote
from tests.patience import PATIENCE_S

from .asking import problem, slug
from .conftest import QUOTE, Serve
from .keys import entry, write_keys

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


READS, WRITES = 16, 8


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound requests to a few, which is as good as many."""
    monkeypatch.setattr(load_shedding, "MAX_READS", READS)
    monkeypatch.setattr(load_shedding, "MAX_WRITES", WRITES)


class Held:
    """An application that has the whole body, as the endpoints have, and answers on demand."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.begins_at_once = False
        self.fails = False
        self._begun, self._arrived = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": []}
        try:
            message = await receive()
            self._begun.release()
            while message.get("more_body"):
                message = await receive()
        except Problem as refused:
            await problem_response(Request(scope), refused)(scope, receive, send)
            return
        if self.begins_at_once:
            await send(start)
        self._arrived.release()
        await asyncio.wait_for(self.goes_on.wait(), PATIENCE_S)
        if self.fails:
            raise RuntimeError
        if not self.begins_at_once:
            await send(start)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def begun(self, requests: int) -> None:
        """Return once the bodies of so many more requests have begun to come."""
        await self._some(self._begun, requests)

    async def arrival(self, requests: int) -> None:
        """Return once so many more requests have come through to it."""
        await self._some(self._arrived, requests)

    async def _some(self, of: asyncio.Semaphore, requests: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(requests):
                await of.acquire()


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def client(held: Held) -> httpx.AsyncClient:
    return client_of(LoadShedding(held))


class Slow:
    """Bodies that end on demand."""

    def __init__(self, begins_with: bytes = b"{") -> None:
        self.ends = asyncio.Event()
        self._begins_with = begins_with

    async def body(self) -> AsyncIterator[bytes]:
        """Yield a body."""
        yield self._begins_with
        await asyncio.wait_for(self.ends.wait(), PATIENCE_S)
        yield b"}"


def client_of(app: LoadShedding, address: str = "192.0.2.1") -> httpx.AsyncClient:
    """Return a client with its own address."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def begun(
    n: int,
    client: httpx.AsyncClient,
    method: str = "POST",
    path: str = "/",
    body: Slow | bytes = b"",
) -> asyncio.Task[list[int]]:
    """Begin so many requests, and return the statuses of their answers, which must come in time."""

    async def statuses() -> list[int]:
        contents = [body.body() if isinstance(body, Slow) else body for _ in range(n)]
        asked = [client.request(method, path, content=content) for content in contents]
        async with asyncio.timeout(PATIENCE_S):
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    return asyncio.create_task(statuses())


@pytest.mark.parametrize(
    ("method", "bound", "others"),
    [
        ("GET", READS, [("POST", "/"), *(("GET", path) for path in sorted(WATCHED))]),
        ("POST", WRITES, [("GET", "/")]),
    ],
)
async def test_one_request_too_many_is_asked_to_retry_but_none_of_another_kind_or_of_monitoring(
    held: Held, client: httpx.AsyncClient, method: str, bound: int, others: list[tuple[str, str]]
) -> None:
    under_way = [begun(bound, client, method)]
    await held.arrival(bound)
    answer = await client.request(method, "/v1/events")
    assert problem(answer) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    under_way += [begun(1, client, *other) for other in others]
    await held.arrival(len(others))
    held.goes_on.set()
    assert {status for some in under_way for status in await some} == {200}
    assert (await client.request(method, "/")).status_code == 200


async def test_a_write_has_its_place_from_the_end_of_its_body_on(held: Held) -> None:
    slow, client = Slow(), client_of(LoadShedding(held))
    late = begun(2 * WRITES, client, body=slow)
    await held.begun(2 * WRITES)
    writes = begun(WRITES, client, body=b"{}")
    await held.arrival(WRITES)
    slow.ends.set()
    assert {*await late} == {503}
    held.goes_on.set()
    assert {*await writes} == {200}


@pytest.mark.parametrize(
    ("bounds", "of_clients", "refusals"),
    [
        (
            {"MAX_ARRIVING_OF_A_CLIENT": 3, "MAX_ARRIVING": 5},
            (3, 2),
            ("3 bodies of this client are still arriving", "5 bodies are still arriving"),
        ),
        ({"MAX_ARRIVING_BYTES": 2000}, (1, 1), ("2000 bytes of bodies are arriving",) * 2),
    ],
)
async def test_bodies_that_are_still_coming_are_bounded_for_a_client_and_in_bytes(
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
    bounds: dict[str, int],
    of_clients: tuple[int, int],
    refusals: tuple[str, str],
) -> None:
    for name, bound in bounds.items():
        monkeypatch.setattr(load_shedding, name, bound)
    slow, app = Slow(b"x" * 900), LoadShedding(held)
    clients = [client_of(app, address) for address in ("192.0.2.1", "192.0.2.2")]
    held.goes_on.set()
    for _ in range(2):  # bodies that have arrived free their room
        sent = [begun(n, client, body=slow) for n, client in zip(of_clients, clients, strict=True)]
        await held.begun(sum(of_clients))
        for client, refusal in zip(clients, refusals, strict=True):
            answer = await client.post("/", content=slow.body())
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert refusal in answer.json()["detail"]
        slow.ends.set()
        assert {status for some in sent for status in await some} == {200}
        slow.ends.clear()


async def test_an_answer_that_has_begun_takes_no_place(
    held: Held, client: httpx.AsyncClient
) -> None:
    held.begins_at_once = True
    streams = begun(2 * READS, client, "GET")
    await held.arrival(2 * READS)
    held.goes_on.set()
    assert {*await streams} == {200}


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_a_request_that_ends_without_an_answer_gives_its_place_back(
    held: Held, client: httpx.AsyncClient, ending: str
) -> None:
    held.fails = ending == "failed"
    for _ in range(2):
        reads = begun(READS, client, "GET")
        await held.arrival(READS)
        if ending == "cancelled":
            reads.cancel()
        else:
            held.goes_on.set()
        await asyncio.wait([reads])
        held.goes_on.clear()


async def test_the_server_turns_writes_away_while_kafka_makes_others_wait(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, goes_on = Publisher.publish, asyncio.Event()

    async def publish_later(publisher: Publisher, messages: Sequence[Quote]) -> None:
        await asyncio.wait_for(goes_on.wait(), PATIENCE_S)
        await publish(publisher, messages)

    monkeypatch.setattr(Publisher, "publish", publish_later)
    async with serve() as client:
        requests = [client.post("/v1/events", json=QUOTE) for _ in range(WRITES + 5)]
        answers = []
        for answer in asyncio.as_completed(requests):
            answers.append(await answer)
            if len(answers) == 5:
                goes_on.set()
        kinds = [answer.json()["type"].rpartition(":")[2] for answer in answers]
        metrics = (await client.get("/metrics")).text
    assert kinds == ["overloaded"] * 5 + ["log-unavailable"] * WRITES
    assert 'api_requests_total{method="POST",route="unmatched",status="503"} 5.0' in metrics


@pytest.mark.parametrize("status", [429, 503])
async def test_a_rejection_is_delayed_and_holds_no_place(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Otherwise clients that retry at once would keep the server busy with rejections."""
    may_go, resting = asyncio.Event(), asyncio.Event()

    async def rest(_: limits.Refusals) -> None:
        resting.set()
        await asyncio.wait_for(may_go.wait(), PATIENCE_S)

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        found = 429 if scope["path"] == "/refused" else 200
        await send({"type": "http.response.start", "status": found, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(limits.Refusals, "rest", rest)
    monkeypatch.setattr(load_shedding, "MAX_READS", int(status == 429))
    client = client_of(LoadShedding(app))
    refused = asyncio.create_task(client.get("/refused"))
    await asyncio.wait_for(resting.wait(), PATIENCE_S)
    if status == 429:  # the only place is free
        assert (await client.get("/")).status_code == 200
    assert not refused.done()
    may_go.set()
    assert (await refused).status_code == status
