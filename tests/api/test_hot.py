"""The hot path gives the same answers as the ordinary routes, byte by byte, and follows HTTP."""

import asyncio
import contextlib
import itertools
import random
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from starlette.types import Receive, Scope, Send

from api.hot.protocol import HotProtocol
from api.hot.request import Head, Heads, Match
from api.hot.server import Server
from api.hot.serving import Serving
from api.http.server_state import DRAINING
from contracts.bars import BarValue
from tests.cases import each
from tests.fuzz import targets
from tests.patience import PATIENCE_S, until, until_true

from .conftest import RUNNING_S, Filled
from .http import ORDINARY, Client, connected, request, serving


@pytest.fixture
async def served(where: dict[str, Any], furnished: Filled) -> AsyncIterator[tuple[Server, int]]:
    """A server on a namespace that has something for every endpoint."""
    async with serving(**where) as server_and_port:
        await until_ranked(server_and_port[1])
        yield server_and_port


@until_true
async def until_ranked(port: int) -> None:
    """Wait for what a server ranks after its start: until then, its answers change."""
    for path in ("/v1/movers", "/v1/trending"):
        async with connected(port) as client:
            assert b'"as_of":null' not in await client.get(path), path


@pytest.fixture
async def client(served: tuple[Server, int]) -> AsyncIterator[Client]:
    async with connected(served[1]) as client:
        yield client


@pytest.fixture
def hot(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The routes that the hot path answered for, as they come."""
    routes: list[str] = []
    serve = Serving.serve

    def noting(self: Serving, match: Match, *rest: Any) -> None:
        routes.append(match.endpoint.path)
        serve(self, match, *rest)

    monkeypatch.setattr(Serving, "serve", noting)
    return routes


TARGETS: Final = [
    *("/instruments/4", "/instruments/6", "/instruments/similar/4", "/instruments/similar/ABC"),
    *("/v1/instruments/4/bars?limit=3&fill=previous&interval=5m", "/v1/instruments/4/similar?n=2"),
    *("/v1/users/ABC/recommendations?n=100&exclude=7,008", "/v1/quotes/latest?instruments=4,5,XYZ"),
    *("/v1/users/ABC/history", "/nothing"),
]


async def test_a_form_of_bars_takes_the_ordinary_route(client: Client, hot: list[str]) -> None:
    path = "/v1/instruments/4/bars?limit=1000&interval=1h"
    asked = b"Accept: text/csv\r\n"
    for _ in range(2):  # the second time, the head is known
        found = await client.get(path, headers=asked)
        assert b"content-type: text/csv" in found
        assert found == await client.get(path, headers=asked + ORDINARY)
    assert hot == []
    await client.get(path, headers=b"Accept: application/json\r\n")
    assert len(hot) == 1


async def test_both_paths_answer_the_same_bytes_whatever_is_asked_for(
    served: tuple[Server, int], hot: list[str]
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kinds = (targets.known, targets.odd_id, targets.odd_query, targets.odd_path)
    for _ in range(400):
        target = rng.choice(kinds)(rng)
        if any(part in target for part in (b"/metrics", b"/stream", b"pipeline")):
            continue  # differ from one request to the next, or do not end
        fast, ordinary = [await once(served[1], target, headers) for headers in (b"", ORDINARY)]
        assert fast == ordinary, target
    assert len(hot) > 20


async def once(port: int, target: bytes, headers: bytes) -> bytes:
    """Return the answer to one request on a separate connection."""
    async with connected(port) as client:
        host = b"Host: localhost\r\n"
        return await client.send(b"GET %b HTTP/1.1\r\n%b%b\r\n" % (target, host, headers))


@pytest.mark.parametrize("way", [b"", ORDINARY])
async def test_a_connection_is_closed_after_an_answer_if_the_client_wants_that(
    client: Client, way: bytes
) -> None:
    answer = await client.get("/instruments/4", headers=b"Connection: close\r\n" + way)
    assert answer.count(b"connection: close\r\n") == 1
    assert await client.reader.read() == b""


async def test_a_server_about_to_end_says_so_and_has_clients_go(
    served: tuple[Server, int],
) -> None:
    served[0].lifespan.state[DRAINING] = True
    for headers in (b"", ORDINARY):
        async with connected(served[1]) as client:
            answer = await client.get("/instruments/4", headers=headers)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"connection: close\r\n" in answer
            assert await client.reader.read() == b""
    async with connected(served[1]) as client:
        answer = await client.get("/health/ready")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"shutting down" in answer


async def test_an_answer_that_has_begun_is_not_broken_by_what_comes_after_its_request(
    served: tuple[Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    async def halting(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        begun.set()
        await asyncio.to_thread(goes_on.wait, PATIENCE_S)
        await send({"type": "http.response.body", "body": b"cd"})

    monkeypatch.setattr(served[0].config, "loaded_app", halting)
    async with connected(served[1]) as client:
        chunked = b"Transfer-Encoding: chunked\r\n"
        client.writer.write(request("/v1/events", method="POST", headers=chunked) + b"1\r\n{\r\n")
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        client.writer.write(b"no length of a chunk\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readuntil(b"400 Bad Request"), 0.2)
        goes_on.set()
        said = await client.reader.read()
    assert said.endswith(b"\r\n\r\nabcd")
    assert b"400 Bad Request" not in said


async def test_clients_that_go_before_their_answer_leave_nothing_behind(
    served: tuple[Server, int], client: Client
) -> None:
    for _ in range(50):
        async with connected(served[1]) as other:
            other.writer.write(request("/v1/users/ABC/recommendations"))
            other.writer.transport.abort()
    expected = await client.get("/instruments/4")
    assert await client.get("/instruments/4") == expected
    await until_alone(served[0])


@until_true
async def until_alone(server: Server) -> None:
    assert len(server.server_state.connections) == 1


async def test_requests_beyond_the_bound_are_turned_away_at_once(
    served: tuple[Server, int], client: Client
) -> None:
    with pytest.MonkeyPatch.context() as full:
        full.setattr("api.http.limits.Gate.full", True)
        answer = await client.get("/instruments/4")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    assert b"urn:tickrec:problem:overloaded" in answer
    assert (await client.get("/instruments/4")).startswith(b"HTTP/1.1 200 ")


async def test_as_many_requests_at_once_as_may_wait_are_answered_and_counted(
    client: Client,
) -> None:
    """The first one is under way, the others wait."""
    for _ in range(2):
        client.writer.write(request("/v1/instruments/4/similar") * (1 + 32))
        assert [(await client.answer())[9:12] for _ in range(33)] == [b"200"] * 33
    labels = b'{method="GET",route="/v1/instruments/{instrument}/similar",status="200"}'
    assert b"api_requests_total%b 66.0" % labels in await client.get("/metrics")


@pytest.mark.parametrize("way", [b"", ORDINARY])
async def test_one_request_more_closes_the_connection_once_those_before_it_are_answered(
    client: Client, way: bytes
) -> None:
    """Each is a few kB of memory, and 64 KiB hold a thousand of them."""
    client.writer.write(request("/v1/instruments/4/similar", headers=way) * 200)
    assert [(await client.answer())[9:12] for _ in range(33)] == [b"200"] * 33
    assert (await client.answer()).startswith(b"HTTP/1.1 400 ")
    assert await client.reader.read() == b""


HEADS: Final = [
    b"Host: localhost\r\n",
    b"Host: localhost\r\nUser-Agent: test\r\nAccept: */*\r\n",
    b"Host: localhost\r\nUser-Agent: other HTTP/1.1\r\n",
    b"host: localhost\r\n" + ORDINARY,
]


async def test_requests_are_answered_the_same_however_they_are_cut(client: Client) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    asked = [
        b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode(), head)
        for target in TARGETS
        for head in HEADS
    ]
    expected = {each: await client.send(each) for each in asked}
    for _ in range(40):
        some = rng.choices(asked, k=5)
        data = b"".join(some)
        cuts = sorted(rng.choices([*range(len(data)), *itertools.accumulate(map(len, some))], k=3))
        for begin, end in itertools.pairwise((0, *cuts, len(data))):
            client.writer.write(data[begin:end])
            await asyncio.sleep(rng.choice((0, 0.002)))
        assert [await client.answer() for _ in some] == [expected[each] for each in some]


async def test_the_end_of_a_head_is_not_taken_for_a_head(
    served: tuple[Server, int], client: Client
) -> None:
    """It has a request's line within, after the part that came before it."""
    line = b"GET /instruments/4 HTTP/1.1\r\n"
    end = b"Host: localhost\r\nX-End: yes\r\n\r\n"
    expected = await client.send(line + b"Host: localhost\r\n\r\n")
    async with connected(served[1]) as other:
        other.writer.write(line + b"Connection: close\r\nX-Begun: ")
        await asyncio.sleep(0.05)
        assert b"connection: close\r\n" in await other.send(line + end)
    assert await client.send(line + end) == expected
    assert await client.send(line + end) == expected


@each(
    "head",
    [
        b"Host: localhost\r\nHost: localhost\r\n\r\n",
        b"Host: localhost\r\nX-Bare: a\n\r\n",
        b"Host: localhost\r\nX-Bare: a\rb\r\n\r\n",
        b"Host: localhost\r\n folded: yes\r\n\r\n",
        b"Host: localhost\r\nConnection: close\r\n\r\n",
        b"Host: localhost\r\nContent-Length: 3\r\n\r\nabc",
        b"Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Host: localhost\r\n\r\nGET /instruments/4 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_a_head_gets_the_same_answer_each_time(
    served: tuple[Server, int], head: bytes
) -> None:
    answers = 1 + head.count(b"GET ")
    said: set[tuple[bytes, ...]] = set()
    for _ in range(3):
        async with connected(served[1]) as client:
            client.writer.write(b"GET /instruments/4 HTTP/1.1\r\n" + head)
            said.add(tuple([await client.answer() for _ in range(answers)]))
    assert len(said) == 1


async def test_heads_are_remembered_within_bounds() -> None:
    heads = Heads(None, cors=False)
    head = Head([], None, None, keep_alive=True)
    too_long = b"X-Long: %b\r\n\r\n" % (b"x" * 4096)
    with_tag = Head([], b'"tag"', None, keep_alive=True)
    heads.remember(too_long, head)
    heads.remember(b"If-None-Match: x\r\n\r\n", with_tag)
    assert heads.known(too_long) is None
    assert heads.known(b"If-None-Match: x\r\n\r\n") is None
    for n in range(5000):
        heads.remember(b"X-N: %d\r\n\r\n" % n, head)
    known = [n for n in range(5000) if heads.known(b"X-N: %d\r\n\r\n" % n)]
    assert 4999 in known
    assert len(known) <= 1000


async def test_a_connection_is_closed_when_it_is_idle_but_not_between_hot_requests(
    where: dict[str, Any], filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.bars(4, {RUNNING_S: BarValue(1.5, 9, 0.5, 2, 3, 4, 5.25, 0, 1, (0, 1))})
    handler, ended = HotProtocol.timeout_keep_alive_handler, list[bool]()

    def noting(self: HotProtocol) -> None:
        handler(self)
        ended.append(self.transport.is_closing())

    monkeypatch.setattr(HotProtocol, "timeout_keep_alive_handler", noting)
    async with serving(**where) as (server, port):
        server.config.timeout_keep_alive = 1
        async with connected(port) as client:
            while not ended:
                assert (await client.get("/instruments/4"))[9:12] == b"200"
            assert ended == [False]
            assert await client.reader.read() == b""
            assert ended[-1]


async def test_a_connection_too_many_is_turned_away_but_monitoring_is_answered(
    where: dict[str, Any],
) -> None:
    async with (
        serving(**where, api_connections=2) as (_, port),
        contextlib.AsyncExitStack() as all_,
    ):
        clients = [await all_.enter_async_context(connected(port)) for _ in range(3)]
        for client in clients:
            assert b" 200 OK" in await client.get("/health/live")
        refused = await clients[2].get("/v1/instruments?n=1")
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"\r\nretry-after: 1\r\n" in refused
        assert b"2 connections are open" in refused
        assert b" 200 OK" in await clients[1].get("/v1/instruments?n=1")


async def test_an_answer_that_nobody_reads_is_given_up(
    where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.hot.protocol._UNREAD_S", 0.1)
    async with serving(**where) as (server, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(request("/openapi.json") * 30)
            await until(lambda: server.server_state.total_requests, "an answer")
            assert server.server_state.connections
            async with asyncio.timeout(20):  # TCP takes 30 s and more
                await until(lambda: not server.server_state.connections, "no connection")
