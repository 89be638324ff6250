"""Streams of both kinds: their opening and limits, what WebSockets may send, and how they end."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import api.live.hub
import api.live.listener
import api.live.stream
from api.http.server_state import MAX_MESSAGE_BYTES
from tests.cases import each
from tests.patience import PATIENCE_S, until_true

from .asking import becomes, problem
from .conftest import RUNNING_S, TOPOLOGY, Filled
from .http import connected, request
from .keys import entry, write_keys
from .streaming import Served, Worker, served, value


class Client:
    """One WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._events: list[dict[str, Any]] = []

    async def say(
        self,
        action: str,
        *bars: int | str,
        quotes: Iterable[int | str] | None = None,
    ) -> dict[str, Any]:
        """Send a command, and return the next answer to one."""
        asked = {"bars": bars or None, "quotes": quotes}
        given = {name: value for name, value in asked.items() if value is not None}
        command = msgspec.json.encode({"action": action, **given})
        await self.connection.send(command.decode())
        return await self.next("subscription", "error")

    async def next(self, *kinds: str) -> dict[str, Any]:
        """Return the next event of some kinds, without those before it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._events:
                    event = self._events.pop(0)
                    if event["T"] in kinds:
                        return event
                self._events += msgspec.json.decode(await self.connection.recv())


def opened(
    application: Served, name: str = "127.0.0.1", query: str = "", **headers: str
) -> connect:
    """Return the opening of a WebSocket of a server that is called `name`."""
    port = application.client.base_url.port
    url = f"ws://{name}:{port}/v1/stream{query}"
    return connect(url, host="127.0.0.1", port=port, additional_headers=headers, proxy=None)


@contextlib.asynccontextmanager
async def client_of(application: Served, query: str = "", **headers: str) -> AsyncIterator[Client]:
    """Open a WebSocket for the block, as soon as the server has found Redis."""

    @until_true
    async def accepted() -> ClientConnection:
        try:
            return await opened(application, query=query, **headers)
        except InvalidStatus as error:
            raise AssertionError(error.response.body) from None

    async with await accepted() as connection:
        client = Client(connection)
        assert await client.next("success") == {"T": "success", "msg": "connected"}
        yield client


async def test_an_error_names_the_value_and_the_stream_goes_on(
    api_: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.stream.PACE_S", 0)
    refused_: tuple[tuple[str | bytes, int, str], ...] = (
        ("no JSON", 400, "no JSON"),
        (b"\xff", 400, "\ufffd"),
        (b'{"x":%b1%b,"action":"subscribe"}' % (b"[" * 2000, b"]" * 2000), 400, "recursion"),
        ("[]", 422, "must be an object"),
        (b'{"action":"follow","bars":[4]}', 422, "action: must be subscribe or unsubscribe, in "),
        ('{"bars":[4]}', 422, "action: "),
        ('{"action":"subscribe"}', 422, "`bars`, in `quotes` or in both"),
        (
            '{"action":"subscribe","trades":[4]}',
            422,
            "trades: unknown field, known: action, bars, quotes",
        ),
        ('{"action":"subscribe","bars":[4,-1]}', 422, "[4,-1]"),
        ('{"action":"subscribe","quotes":[9223372036854775808]}', 422, "quotes: must be a whole"),
        ('{"action":"subscribe","bars":[4],"since":"1.1"}', 422, "since: unknown field"),
        (msgspec.json.encode({"action": "subscribe", "bars": list(range(501))}), 422, "be 501"),
        (b'{"action":"subscribe","bars":%b,"quotes":[500]}' % ALL, 422, "be 501"),
        ('{"action":"subscribe","bars":[4,"XYZ"]}', 404, "'XYZ'"),
    )
    async with client_of(api_) as client:
        for message, code, said in refused_:
            await client.connection.send(message)
            error = await client.next("error")
            assert (error["code"], said in error["msg"]) == (code, True), error
            expected = {"4": 4} if code == 404 else {}
            assert (await client.say("unsubscribe", 7))["bars"] == expected


async def test_pages_of_other_origins_and_under_other_names_are_refused(
    where: dict[str, Any],
) -> None:
    allowed = "https://shop.example"
    async with served(**where, api_cors_origins=allowed) as application, client_of(application):
        port = application.client.base_url.port
        for origin in ("https://evil.example", "http://["):
            assert await refused(application, Origin=origin) == (403, "unknown-origin")
        assert await refused(application, "evil.example") == (421, "unknown-host")
        for origin in (allowed, f"http://127.0.0.1:{port}"):
            async with opened(application, Origin=origin) as connection:
                assert connection.response is not None
                assert connection.response.headers["x-content-type-options"] == "nosniff"
                assert connection.response.headers["x-request-id"]


async def test_only_the_path_of_the_stream_is_upgraded(api_: Served) -> None:
    url = f"ws://127.0.0.1:{api_.client.base_url.port}/health/live"
    with pytest.raises(InvalidStatus) as error:
        await connect(url, proxy=None)
    assert error.value.response.status_code == 200


@each(
    ("frame", "code"),
    [
        (b"\x81\x02{}", 1002),  # a client has to mask
        (b"\x81\xff" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big") + bytes(4), 1009),
    ],
)
async def test_a_frame_that_breaks_the_protocol_or_is_too_large_closes_the_stream(
    api_: Served, frame: bytes, code: int
) -> None:
    async with connected(api_.client.base_url.port or 0) as client:
        client.writer.write(HANDSHAKE)
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write(frame)
        assert code.to_bytes(2, "big") in await client.reader.read()


async def test_a_client_is_pinged(where: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.hot.server.HEARTBEAT_S", 0.05)
    async with (
        served(**where) as application,
        connected(application.client.base_url.port or 0) as client,
    ):
        client.writer.write(HANDSHAKE)
        await client.reader.readuntil(b"\x89\x04")


async def refused(
    application: Served, name: str = "127.0.0.1", query: str = "", **headers: str
) -> tuple[int, str]:
    """Return status and kind of the problem with which a handshake is answered."""
    with pytest.raises(InvalidStatus) as error:
        await opened(application, name, query, **headers)
    response = error.value.response
    assert response.headers["content-type"] == "application/problem+json"
    kind = msgspec.json.decode(response.body or b"")["type"]
    return response.status_code, kind.removeprefix("urn:tickrec:problem:")


def masked(text: bytes) -> bytes:
    """Return a client's message as a frame, masked with zeros."""
    return b"\x81" + b"\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text


ALL = msgspec.json.encode(list(range(500)))
HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

BEFORE_S = RUNNING_S - 60
HUGE = 2**53 + 1
EVENTS = f"/v1/stream/bars?instruments={','.join(map(str, range(500)))}"


@pytest.fixture
async def api_(where: dict[str, Any], filled: Filled) -> AsyncIterator[Served]:
    filled.instrument(HUGE, "HUGE")
    async with served(**where) as application:
        yield application


async def test_a_stream_names_unknown_symbols_and_begins_with_the_bars_of_the_others(
    api_: Served, workers: Worker
) -> None:
    await workers.write([(4, RUNNING_S, value(2))])
    async with api_.stream(4, "XYZ", "A/B") as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.answer.headers["cache-control"] == "no-store"
        assert await stream.next() == ("", "retry: 2000")
        assert await stream.next() == ("unknown", {"unknown": ["XYZ", "A/B"]})
        assert await stream.bars_until_live() == {4: 2}


async def test_events_of_both_kinds_are_what_v1_answers_with_ids_as_the_client_wants_them(
    api_: Served, workers: Worker
) -> None:
    await workers.write([(HUGE, BEFORE_S, value(1)), (HUGE, RUNNING_S, value(2))])
    bars = (await api_.client.get(f"/v1/instruments/{HUGE}/bars")).json()["bars"]
    quotes = (await api_.client.get(f"/v1/quotes/latest?instruments={HUGE}")).json()["quotes"]
    for ids, item in (("number", HUGE), ("string", str(HUGE))):
        bar = {"instrument_id": item, **bars[1]}
        quote = {"instrument_id": item, **quotes[str(HUGE)]}
        for channel, data in (("bars", bar), ("quotes", quote)):
            async with api_.stream(HUGE, channel=channel, ids=ids) as stream:
                assert (await stream.until("live"))[1:] == [(channel[:-1], data)]
        async with client_of(api_, query=f"?ids={ids}") as client:
            answer = await client.say("subscribe", "HUGE", quotes=[str(HUGE)])
            assert (answer["bars"], answer["quotes"]) == ({"HUGE": item}, {str(HUGE): item})
            assert await client.next("b") == {"T": "b", **bar}
            assert await client.next("q") == {"T": "q", **quote}
            assert await client.next("live") == {"T": "live"}
            await workers.write([(HUGE, BEFORE_S, value(3))])
            revised = await client.next("b")
            assert (revised["t"], revised["closed"]) == (BEFORE_S * 1000, True)
    assert await refused(api_, query="?ids=text") == (422, "invalid-request")


async def test_a_server_does_not_subscribe_for_long_after_the_last_client_has_gone(
    api_: Served, workers: Worker, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.hub, "LINGER_S", 0.05)
    tasks = len(asyncio.all_tasks())
    channels = [filled.keys.bars_changed(p) for p in range(TOPOLOGY.quotes)]
    for _ in range(2):
        async with api_.stream(4) as stream:
            await stream.until("live")
            await workers.write([(4, RUNNING_S, value(1))])
            assert (await stream.next())[0] == "bar"

        @until_true
        async def nothing_is_left() -> None:
            assert await api_.metric("api_stream_clients") == 0
            answer = filled.store.execute_command("PUBSUB SHARDNUMSUB", *channels)
            assert [count for _, count in answer] == [0, 0, 0]
            assert len(asyncio.all_tasks()) <= tasks

        await nothing_is_left()


@pytest.mark.parametrize("is_websocket", [False, True])
async def test_a_client_that_reads_nothing_is_dropped(
    api_: Served, workers: Worker, monkeypatch: pytest.MonkeyPatch, *, is_websocket: bool
) -> None:
    monkeypatch.setattr(api.live.stream, "STALLED_AFTER_S", 0.2)
    monkeypatch.setattr(api.live.stream, "PACE_S", 0)
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.connect(("127.0.0.1", api_.client.base_url.port))
        own.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(own, HANDSHAKE if is_websocket else request(EVENTS))
        assert b" 101 " in await loop.sock_recv(own, 4096) or not is_websocket
        if is_websocket:
            await loop.sock_sendall(own, masked(b'{"action":"subscribe","bars":%b}' % ALL))
        async with asyncio.timeout(PATIENCE_S):
            for n in itertools.count(1):  # until the buffers between server and client are full
                await workers.write((i, RUNNING_S, value(n)) for i in range(500))
                if await api_.metric("api_stream_dropped_total"):
                    break
        assert await api_.metric("api_stream_clients") == 0


async def test_a_server_that_stops_ends_all_streams_at_once_and_begins_no_more(
    api_: Served,
) -> None:
    async with api_.stream(4) as events, client_of(api_) as client:
        await events.until("live")
        api_.live.close()
        assert await events.next() == ("end", None)
        with pytest.raises(ConnectionClosed) as closed:
            await client.next("none")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    await check_problem(api_, "4", 503, "not-ready")


async def test_a_comment_comes_when_there_is_nothing_to_say(
    api_: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.listener, "HEARTBEAT_S", 0.02)
    async with api_.stream(4) as stream:
        await stream.until("live")
        assert [await stream.next() for _ in range(2)] == [("", ":")] * 2


async def test_more_clients_than_a_process_may_have_are_turned_away(
    api_: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.hub, "MAX_CLIENTS", 1)
    async with api_.stream(4) as stream:
        await stream.until("live")
        await check_problem(api_, "4", 503, "overloaded")
    async with api_.stream(4):
        pass  # there is room again


async def test_a_client_may_open_so_many_streams_of_both_kinds_and_others_as_many(
    where: dict[str, Any],
) -> None:
    other = {"X-Forwarded-For": "192.0.2.7"}
    async with (
        served(**where, streams_per_client=2) as application,
        application.stream(4),
    ):
        async with client_of(application):
            answer = await check_problem(application, "4", 429, "too-many-streams")
            assert answer.headers["retry-after"] == "1"
            assert await refused(application) == (429, "too-many-streams")
            async with application.requested(4, **other) as answer, opened(application, **other):
                assert answer.status_code == 200
                assert await application.metric("api_stream_clients") == 4
        async with application.stream(4):
            pass  # there is room again


async def test_a_key_may_have_so_many_streams_from_wherever_they_come(
    where: dict[str, Any], tmp_path: Path
) -> None:
    file = write_keys(tmp_path / "keys.json", entry("shop"), entry("other"))
    async with (
        served(**where, streams_per_client=1, api_keys_file=file) as application,
        contextlib.AsyncExitStack() as opened,
    ):

        async def status(address: str, key: str) -> int:
            headers = {"X-Forwarded-For": address, "X-API-Key": key}
            stream = application.requested(4, **headers)
            return (await opened.enter_async_context(stream)).status_code

        await becomes(200, status, "192.0.2.1", "shop")  # as soon as Redis is found
        assert await status("192.0.2.2", "shop") == 429
        assert await status("192.0.2.2", "other") == 200
        assert await status("192.0.2.2", "unknown") == 429, "by its address"
        assert await status("192.0.2.3", "unknown") == 200, "no key is needed"


async def test_topics_that_are_not_set_up_are_a_problem(
    api_: Served, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.hub, "READ_DEADLINE_S", 0.1)
    filled.store.delete(filled.keys.topics())
    await check_problem(api_, "4", 503, "topics-unknown")


@until_true
async def check_problem(served: Served, asked: str, status: int, slug: str) -> httpx.Response:
    answer = await served.client.get("/v1/stream/bars", params={"instruments": asked})
    assert problem(answer) == (status, slug)
    return answer
