"""Live bars over a WebSocket, of instruments that a client changes as it likes."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import api.live.stream
from tests.patience import PATIENCE_S, until_true

from .conftest import RUNNING_S, Filled
from .streaming import Served, Worker, served, value, worker

BEFORE_S = RUNNING_S - 60
Message = dict[str, Any]


class Client:
    """One WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._events: list[Message] = []

    async def say(self, action: str, *bars: int | str) -> Message:
        """Send a command, and return the next answer to one."""
        await self.connection.send(msgspec.json.encode({"action": action, "bars": bars}).decode())
        return await self.next("subscription", "error")

    async def next(self, *kinds: str) -> Message:
        """Return the next event of some kinds, without those before it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._events:
                    if (event := self._events.pop(0))["T"] in kinds:
                        return event
                self._events += msgspec.json.decode(await self.connection.recv())

    async def bars_until_live(self) -> dict[int, int]:
        """Return `n` of the bars of a snapshot, by instrument."""
        found: dict[int, int] = {}
        while (event := await self.next("b", "live"))["T"] == "b":
            found[event["instrument_id"]] = event["n"]
        return found


def opened(application: Served, name: str = "127.0.0.1", **headers: str) -> connect:
    """Return the opening of a WebSocket of a server that is called `name`."""
    port = application.client.base_url.port
    url = f"ws://{name}:{port}/v1/stream"
    return connect(url, host="127.0.0.1", port=port, additional_headers=headers, proxy=None)


@contextlib.asynccontextmanager
async def client_of(application: Served, **headers: str) -> AsyncIterator[Client]:
    """Open a WebSocket for the block, as soon as the server has found Redis."""

    @until_true
    async def accepted() -> ClientConnection:
        try:
            return await opened(application, **headers)
        except InvalidStatus as error:
            raise AssertionError(error.response.body) from None

    async with await accepted() as connection:
        client = Client(connection)
        assert await client.next("success") == {"T": "success", "msg": "connected"}
        yield client


@pytest.fixture
async def api_(where: dict[str, Any], filled: Filled) -> AsyncIterator[Served]:
    filled.instrument(5, "AAPL")
    async with served(**where) as application:
        yield application


@pytest.fixture
async def workers(where: dict[str, Any]) -> AsyncIterator[Worker]:
    async with worker(**where) as its:
        yield its


async def test_each_subscription_brings_the_newest_bars_and_then_those_that_change(
    api_: Served, workers: Worker
) -> None:
    await workers.write([(4, BEFORE_S, value(1)), (4, RUNNING_S, value(2))])
    await workers.write([(5, RUNNING_S, value(3)), (6, RUNNING_S, value(4))])
    async with client_of(api_) as client:
        answer = await client.say("subscribe", 4)
        assert answer == {"T": "subscription", "bars": {"4": 4}}
        assert await client.bars_until_live() == {4: 2}
        answer = await client.say("subscribe", "AAPL", 4)
        assert answer == {"T": "subscription", "bars": {"4": 4, "AAPL": 5}}
        assert await client.bars_until_live() == {5: 3}, "only of the added one"
        answer = await client.say("unsubscribe", "4", 9)
        assert answer == {"T": "subscription", "bars": {"AAPL": 5}}
        await workers.write([(4, RUNNING_S, value(8)), (6, RUNNING_S, value(8))])
        await workers.write([(5, RUNNING_S, value(9))])
        bar = await client.next("b")
        assert (bar["instrument_id"], bar["n"]) == (5, 9)


async def test_an_event_has_the_fields_and_the_id_that_it_has_as_a_server_sent_event(
    api_: Served, workers: Worker
) -> None:
    await workers.write([(4, RUNNING_S, value(2))])
    async with api_.stream(4) as stream, client_of(api_) as client:
        ((_, bar),) = (await stream.until("live"))[1:]
        await client.say("subscribe", 4)
        assert await client.next("b") == {"T": "b", "id": int(stream.last_id or 0), **bar}
        assert await client.next("live") == {"T": "live", "id": int(stream.last_id or 0)}


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        ("no JSON", 400, "no JSON"),
        (b'{"action":"follow","bars":[4]}', 422, "'follow'"),
        ('{"action":"subscribe","quotes":[4]}', 422, "`quotes`"),
        ('{"action":"subscribe","bars":[4,-1]}', 422, "[4,-1]"),
        ('{"action":"subscribe","bars":[4,"XYZ"]}', 404, "'XYZ'"),
        (msgspec.json.encode({"action": "subscribe", "bars": list(range(501))}), 422, "be 501"),
    ],
)
async def test_an_error_names_the_value_and_the_stream_goes_on(
    api_: Served, message: str | bytes, code: int, said: str
) -> None:
    async with client_of(api_) as client:
        await client.connection.send(message)
        error = await client.next("error")
        assert (error["code"], said in error["msg"]) == (code, True), error
        expected = {"4": 4} if code == 404 else {}
        assert (await client.say("unsubscribe", 7))["bars"] == expected


async def test_streams_of_both_kinds_count_for_a_client(where: dict[str, Any]) -> None:
    async with (
        served(**where, streams_per_client=2) as application,
        application.stream(4),
        client_of(application),
    ):
        assert (await refused(application)) == (429, "too-many-streams")
        async with opened(application, **{"X-Forwarded-For": "192.0.2.7"}):
            assert await application.metric("api_stream_clients") == 3
        async with application.requested(4) as answer:
            assert answer.status_code == 429


async def test_pages_of_other_origins_and_under_other_names_are_refused(
    where: dict[str, Any],
) -> None:
    allowed = "https://shop.example"
    async with served(**where, api_cors_origins=allowed) as application, client_of(application):
        port = application.client.base_url.port
        assert await refused(application, Origin="https://evil.example") == (403, "unknown-origin")
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
    assert (await api_.client.get("/v1/stream")).status_code == 404


async def test_a_server_that_stops_closes_its_streams(api_: Served) -> None:
    async with client_of(api_) as client:
        api_.live.close()
        with pytest.raises(ConnectionClosed) as closed:
            await client.next("none")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


async def test_a_client_that_leaves_leaves_nothing_behind(api_: Served) -> None:
    async with client_of(api_) as client:
        await client.say("subscribe", 4)

    @until_true
    async def nothing_is_left() -> None:
        assert await api_.metric("api_stream_clients") == 0
        assert not len(api_.live._board)

    await nothing_is_left()


async def test_a_lost_redis_makes_a_stream_stale(api_: Served, filled: Filled) -> None:
    async with client_of(api_) as client:
        await client.say("subscribe", 4)
        await client.bars_until_live()
        filled.store.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await client.next("stale") == {"T": "stale", "reason": "redis-away"}
        assert (await client.next("live"))["T"] == "live"


async def test_a_client_that_reads_nothing_is_dropped(
    api_: Served, workers: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live.stream, "STALLED_AFTER_S", 0.2)
    monkeypatch.setattr(api.live.stream, "PACE_S", 0)
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.connect(("127.0.0.1", api_.client.base_url.port))
        own.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(own, HANDSHAKE)
        assert b" 101 " in await loop.sock_recv(own, 4096)
        await loop.sock_sendall(own, masked(b'{"action":"subscribe","bars":%b}' % ALL))
        async with asyncio.timeout(PATIENCE_S):
            for n in itertools.count(1):  # until the buffers between server and client are full
                await workers.write((i, RUNNING_S, value(n)) for i in range(500))
                if await api_.metric("api_stream_dropped_total"):
                    break
        assert await api_.metric("api_stream_clients") == 0


async def test_a_client_is_pinged(where: dict[str, Any]) -> None:
    async with served(**where, ping_s=0.05) as application, client_of(application) as client:
        port = application.client.base_url.port
        assert await client.say("subscribe", 4)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b"\x89\x04")
        writer.close()


async def refused(application: Served, name: str = "127.0.0.1", **headers: str) -> tuple[int, str]:
    """Return status and kind of the problem with which a handshake is answered."""
    with pytest.raises(InvalidStatus) as error:
        await opened(application, name, **headers)
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
