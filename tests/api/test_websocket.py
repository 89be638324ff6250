"""WebSockets: their opening, what clients may send, and how they end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from api.http.server_state import MAX_MESSAGE_BYTES
from tests.cases import each
from tests.patience import PATIENCE_S, until_true

from .streaming import Served, served


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


@pytest.fixture
async def api_(where: dict[str, Any]) -> AsyncIterator[Served]:
    async with served(**where) as application:
        yield application


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
    reader, writer = await asyncio.open_connection("127.0.0.1", api_.client.base_url.port)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame)
        assert code.to_bytes(2, "big") in await reader.read()
    writer.close()


async def test_a_client_is_pinged(where: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.hot.server.HEARTBEAT_S", 0.05)
    async with served(**where) as application:
        port = application.client.base_url.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b"\x89\x04")
        writer.close()


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
