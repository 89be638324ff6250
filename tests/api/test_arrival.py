"""Requests that never end, on real connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api.hot.arrival import MAX_HEAD_BYTES, BoundedArrival
from infra.local.process import LOOPBACK, free_port
from tests.patience import PATIENCE_S

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
MIB = b"x" * 1024 * 1024


@dataclass
class Answering:
    """An application that answers at once, and reads a body only if configured to."""

    reads: bool = True

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        while self.reads and (await receive()).get("more_body"):
            pass
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


GIVE_UP, GO = "_give_up", "timeout_keep_alive_handler"
"""What ends a connection that is waited for: a bound of ours, and uvicorn's between requests."""


class HandSetClock:
    """A loop whose waiting for requests is over when a test says so, and not before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._set: list[tuple[asyncio.TimerHandle, Callable[[], object]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_later(
        self, delay_s: float, callback: Callable[..., object], *rest: object
    ) -> asyncio.TimerHandle:
        handle = self._loop.call_later(delay_s, callback, *rest)
        if callback.__name__ in (GIVE_UP, GO):
            assert delay_s == PATIENCE_S
            self._set.append((handle, callback))
        return handle

    @property
    def pending(self) -> list[str]:
        """What is going to end the connection."""
        return [callback.__name__ for handle, callback in self._set if not handle.cancelled()]

    @property
    def deadlines(self) -> int:
        """How many there have been."""
        return len(self._set)

    def expire(self) -> None:
        """Let all that is waited for be late."""
        for handle, callback in [each for each in self._set if not each[0].cancelled()]:
            handle.cancel()
            callback()


class Watched(BoundedArrival):
    """The server's end of the connection; it counts the bytes received."""

    clock: HandSetClock
    received = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.clock = self.loop = HandSetClock(self.loop)  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.received += len(data)


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: Watched

    @property
    def clock(self) -> HandSetClock:
        return self.server.clock

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def deliver(self, data: bytes) -> None:
        """Send, and return once the server has it."""
        expected = self.server.received + len(data)
        await self.send(data)
        async with asyncio.timeout(PATIENCE_S):
            while self.server.received < expected:  # noqa: ASYNC110 (a plain number)
                await asyncio.sleep(0)

    async def status(self) -> int:
        """Return the status of the next answer, which has a body of 2 bytes if it is 200."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        if b"200 OK" in head:
            assert await self.reader.readexactly(2) == b"ok"
        return int(head[9:12])

    async def rest(self) -> bytes:
        """Return everything received until the server closes the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE_S / 2)


@pytest.fixture
def app() -> Answering:
    return Answering()


@pytest.fixture
async def connection(app: Answering) -> AsyncIterator[Connection]:
    port, keep_alive_s = free_port(), round(PATIENCE_S)
    config = uvicorn.Config(
        app,
        port=port,
        http=Watched,
        lifespan="off",
        log_config=None,
        timeout_keep_alive=keep_alive_s,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        while not server.server_state.connections:  # noqa: ASYNC110 (a plain set of uvicorn's)
            await asyncio.sleep(0)
    (its,) = server.server_state.connections
    assert isinstance(its, Watched)
    yield Connection(reader, writer, its)
    writer.close()
    await server.shutdown()


async def test_a_head_that_is_too_large_is_refused(connection: Connection) -> None:
    await connection.send(GET)
    await connection.send(b"X-Long: " + b"x" * MAX_HEAD_BYTES)
    assert await connection.status() == 400


@pytest.mark.parametrize("begun", [GET + b"X-Long: ", b"GET /", GET])
async def test_a_head_without_end_is_not_taken_for_long(
    connection: Connection, begun: bytes
) -> None:
    async def without_end() -> None:
        await connection.send(begun)
        while True:
            await connection.send(MIB)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(without_end(), PATIENCE_S / 2)


async def test_a_large_head_below_the_bound_is_taken(connection: Connection) -> None:
    cookie = b"Cookie: " + b"x" * (MAX_HEAD_BYTES - 1000) + b"\r\n"
    for _ in range(2):
        for part in (GET, cookie[:40_000], cookie[40_000:], b"\r\n"):
            await connection.send(part)
        assert await connection.status() == 200


async def test_many_heads_in_one_block_are_not_one_large_head(connection: Connection) -> None:
    await connection.send((GET + b"\r\n") * 5000 + GET)
    await connection.send(b"X-Late: yes\r\n\r\n")
    assert [await connection.status() for _ in range(5001)] == [200] * 5001


async def test_bodies_are_no_heads(connection: Connection) -> None:
    for _ in range(2):
        await connection.send(POST + b"Content-Length: %d\r\n\r\n" % (4 * len(MIB)))
        for _ in range(4):
            await connection.send(MIB)
        assert await connection.status() == 200


@pytest.mark.parametrize(
    ("begun", "ends"),
    [(b"", GIVE_UP), (b"GET /", GIVE_UP), (GET, GIVE_UP), (GET + b"\r\n" + GET, GO)],
)
async def test_a_request_that_does_not_end_is_given_up(
    connection: Connection, begun: bytes, ends: str
) -> None:
    await connection.deliver(begun)
    if begun.count(b"\r\n\r\n"):
        assert await connection.status() == 200
    assert connection.clock.pending == [ends]
    connection.clock.expire()
    assert await connection.rest() == b""


async def check_given_up_though_it_trickles(connection: Connection, piece: bytes) -> None:
    deadlines = connection.clock.deadlines
    for _ in range(20):
        await connection.deliver(piece)
    assert connection.clock.pending == [GIVE_UP]
    assert connection.clock.deadlines == deadlines, "what trickles in moves the deadline"
    connection.clock.expire()
    assert await connection.rest() == b""


async def test_a_head_that_trickles_is_given_up(connection: Connection) -> None:
    await connection.deliver(GET + b"\r\n")
    assert await connection.status() == 200
    await connection.deliver(GET)
    await check_given_up_though_it_trickles(connection, b"X: y\r\n")


async def test_a_body_that_nobody_reads_and_that_trickles_is_given_up(
    connection: Connection, app: Answering
) -> None:
    app.reads = False
    await connection.deliver(POST + b"Content-Length: 1000\r\n\r\n")
    assert await connection.status() == 200
    await check_given_up_though_it_trickles(connection, b"x")


async def test_a_body_that_somebody_reads_is_left_to_who_reads_it(connection: Connection) -> None:
    await connection.deliver(POST + b"Content-Length: 3\r\n\r\n")
    for _ in range(3):
        connection.clock.expire()
        assert connection.clock.pending == [GIVE_UP]
        await connection.deliver(b"x")
    assert await connection.status() == 200
    assert connection.clock.pending == [GO]


async def test_requests_one_after_the_other_are_not_given_up(connection: Connection) -> None:
    for _ in range(20):
        await connection.deliver(GET)
        assert connection.clock.pending == [GIVE_UP]
        await connection.deliver(b"\r\n")
        assert await connection.status() == 200
        assert connection.clock.pending == [GO]
