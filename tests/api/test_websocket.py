"""Live bars and quotes over a WebSocket, of instruments that a client changes as it likes."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import api.live.stream
from api.http.server_state import MAX_MESSAGE_BYTES
from contracts.bars import BarValue
from tests.patience import PATIENCE_S, until_true

from .conftest import RUNNING_S, Filled
from .streaming import Served, Worker, served, value

BEFORE_S = RUNNING_S - 60


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

    async def bars_until_live(self) -> dict[int, int]:
        """Return `n` of the bars of a snapshot, by instrument."""
        found: dict[int, int] = {}
        while (event := await self.next("b", "live"))["T"] == "b":
            found[event["instrument_id"]] = event["n"]
        return found


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
async def api_(where: dict[str, Any], filled: Filled) -> AsyncIterator[Served]:
    filled.instrument(5, "AAPL")
    filled.instrument(HUGE, "HUGE")
    async with served(**where) as application:
        yield application


async def test_each_subscription_brings_the_newest_bars_and_then_those_that_change(
    api_: Served, workers: Worker
) -> None:
    await workers.write([(4, BEFORE_S, value(1)), (4, RUNNING_S, value(2))])
    await workers.write([(5, RUNNING_S, value(3)), (6, RUNNING_S, value(4))])
    async with client_of(api_) as client:
        answer = await client.say("subscribe", 4)
        assert answer == {"T": "subscription", "bars": {"4": 4}, "quotes": {}}
        assert await client.bars_until_live() == {4: 2}
        answer = await client.say("subscribe", "AAPL", 4)
        assert answer == {"T": "subscription", "bars": {"4": 4, "AAPL": 5}, "quotes": {}}
        assert await client.bars_until_live() == {5: 3}, "only of the added one"
        answer = await client.say("unsubscribe", "4", 9)
        assert answer == {"T": "subscription", "bars": {"AAPL": 5}, "quotes": {}}
        await workers.write([(4, RUNNING_S, value(8)), (6, RUNNING_S, value(8))])
        await workers.write([(5, RUNNING_S, value(9))])
        bar = await client.next("b")
        assert (bar["instrument_id"], bar["n"]) == (5, 9)


async def test_an_event_has_the_fields_that_it_has_as_a_server_sent_event(
    api_: Served, workers: Worker
) -> None:
    await workers.write([(4, RUNNING_S, value(2))])
    async with api_.stream(4) as stream, client_of(api_) as client:
        ((_, bar),) = (await stream.until("live"))[1:]
        await client.say("subscribe", 4)
        assert await client.next("b") == {"T": "b", **bar}
        assert await client.next("live") == {"T": "live"}
    async with api_.stream(4, channel="quotes") as stream, client_of(api_) as client:
        ((_, quote),) = (await stream.until("live"))[1:]
        await client.say("subscribe", quotes=[4])
        assert await client.next("q") == {"T": "q", **quote}


async def test_a_quote_is_the_newest_one_by_event_time(api_: Served, workers: Worker) -> None:
    def quoted(n: int, at_ms: int) -> BarValue:
        return msgspec.structs.replace(value(n), ct=at_ms)

    now_ms = RUNNING_S * 1000
    await workers.write([(5, RUNNING_S, quoted(2, now_ms + 2))])
    async with client_of(api_) as client:
        assert (await client.say("subscribe", quotes=["AAPL", 6]))["quotes"] == {"AAPL": 5, "6": 6}
        first = await client.next("q")
        answer = await api_.client.get("/v1/quotes/latest?instruments=5")
        assert first == {"T": "q", "instrument_id": 5, **answer.json()["quotes"]["5"]}
        await client.next("live")
        await client.say("subscribe", "AAPL")
        await client.next("live")

        async def events_until_bar(n: int) -> list[str]:
            found = [await client.next("q", "b")]
            while found[-1].get("n") != n:
                found.append(await client.next("q", "b"))
            return [event["T"] for event in found]

        # A late quote changes a bar, but neither the newest price nor its time.
        await workers.write([(5, BEFORE_S, quoted(9, now_ms - 1))])
        assert await events_until_bar(9) == ["b"]
        late = msgspec.structs.replace(quoted(3, now_ms + 2), c=2)
        await workers.write([(5, RUNNING_S, late)])
        assert await events_until_bar(3) == ["b"]
        await workers.write([(5, RUNNING_S, quoted(4, now_ms + 4))])
        quote = await client.next("q")
        assert (quote["price"], quote["ts"]) == (4, now_ms + 4)
        await client.say("unsubscribe", quotes=[5])
        await workers.write([(5, RUNNING_S, quoted(5, now_ms + 5))])
        await workers.write([(6, RUNNING_S, quoted(6, now_ms + 5))])
        assert (await client.next("q"))["instrument_id"] == 6


async def test_ids_are_strings_if_the_client_wants_that(api_: Served, workers: Worker) -> None:
    await workers.write([(HUGE, RUNNING_S, value(2))])
    async with (
        client_of(api_, query="?ids=string") as client,
        api_.stream(HUGE, ids="string") as stream,
        api_.stream(HUGE) as of_numbers,
    ):
        answer = await client.say("subscribe", "HUGE", quotes=[str(HUGE)])
        assert answer["bars"] == {"HUGE": str(HUGE)}
        assert answer["quotes"] == {str(HUGE): str(HUGE)}
        assert (await client.next("b"))["instrument_id"] == str(HUGE)
        assert (await client.next("q"))["instrument_id"] == str(HUGE)
        ((_, bar),) = (await stream.until("live"))[1:]
        ((_, as_number),) = (await of_numbers.until("live"))[1:]
        assert bar == {**as_number, "instrument_id": str(HUGE)}
        assert as_number["instrument_id"] == HUGE
    assert await refused(api_, query="?ids=text") == (422, "invalid-request")


async def test_an_error_names_the_value_and_the_stream_goes_on(api_: Served) -> None:
    refused_: tuple[tuple[str | bytes, int, str], ...] = (
        ("no JSON", 400, "no JSON"),
        (b"\xff", 400, "\ufffd"),
        (b'{"x":%b1%b,"action":"subscribe"}' % (b"[" * 2000, b"]" * 2000), 400, "recursion"),
        ("[]", 422, "Expected `object`"),
        (b'{"action":"follow","bars":[4]}', 422, "'follow'"),
        ('{"bars":[4]}', 422, "`action`"),
        ('{"action":"subscribe"}', 422, "`bars`, in `quotes` or in both"),
        ('{"action":"subscribe","trades":[4]}', 422, "`trades`"),
        ('{"action":"subscribe","bars":[4,-1]}', 422, "[4,-1]"),
        ('{"action":"subscribe","quotes":[9223372036854775808]}', 422, "quotes: must be a whole"),
        ('{"action":"subscribe","bars":[4],"since":"1.1"}', 422, "`since`"),
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


async def test_openings_are_counted_as_requests(where: dict[str, Any]) -> None:
    async with served(**where, streams_per_client=1) as application:
        async with client_of(application):
            assert (await refused(application))[0] == 429

        @until_true
        async def counted() -> None:
            text = (await application.client.get("/metrics")).text
            of_stream = 'api_requests_total{method="GET",route="/v1/stream",status="%d"} 1.0'
            assert of_stream % 101 in text
            assert of_stream % 429 in text

        await counted()


async def test_a_message_may_come_in_fragments_and_with_pings_in_between(api_: Served) -> None:
    async with client_of(api_) as client:

        async def fragments() -> AsyncIterator[str]:
            for part in ('{"action":"sub', 'scribe","ba', 'rs":[4]}'):
                yield part
                await (await client.connection.ping())

        await client.connection.send(fragments())
        assert (await client.next("subscription"))["bars"] == {"4": 4}


async def test_a_message_that_is_too_large_closes_the_stream_and_says_why(api_: Served) -> None:
    async with client_of(api_) as client:
        await client.connection.send(" " * (MAX_MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await client.next("none")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_a_frame_that_breaks_the_protocol_closes_the_stream(api_: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api_.client.base_url.port)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x81\x02{}")  # a client has to mask
    async with asyncio.timeout(PATIENCE_S):
        assert b"\x03\xea" in await reader.read(), "a close with 1002, protocol error"
    writer.close()


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


HUGE = 2**53 + 1
ALL = msgspec.json.encode(list(range(500)))
HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
