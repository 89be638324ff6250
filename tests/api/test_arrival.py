"""Requests that never come to an end, on real connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api import arrival
from api.arrival import ARRIVAL_TIMEOUT_S, MAX_HEAD_BYTES, BoundedArrival
from infra.local.process import LOOPBACK, free_port

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
MIB = b"x" * 1024 * 1024


@dataclass
class Answering:
    """An application that answers at once, and reads a body only if it is told to."""

    reads: bool = True

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        while self.reads and (await receive()).get("more_body"):
            pass
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self) -> int:
        """Return the status of the next answer, which has a body of 2 bytes if it is 200."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        if b"200 OK" in head:
            assert await self.reader.readexactly(2) == b"ok"
        return int(head[9:12])

    async def rest(self) -> bytes:
        """Return what comes until the server hangs up."""
        return await asyncio.wait_for(self.reader.read(), 10)


@pytest.fixture
def app() -> Answering:
    return Answering()


@pytest.fixture
async def connection(app: Answering) -> AsyncIterator[Connection]:
    port = free_port()
    config = uvicorn.Config(
        app, port=port, http=BoundedArrival, lifespan="off", log_config=None, timeout_keep_alive=1
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    connection = Connection(*await asyncio.open_connection(LOOPBACK, port))
    yield connection
    connection.writer.close()
    await server.shutdown()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "ARRIVAL_TIMEOUT_S", 0.3)


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
        await asyncio.wait_for(without_end(), ARRIVAL_TIMEOUT_S / 2)


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


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("begun", [b"", b"GET /", GET, GET + b"\r\n" + GET])
async def test_a_request_that_does_not_end_is_given_up(
    connection: Connection, begun: bytes
) -> None:
    await connection.send(begun)
    if begun.count(b"\r\n\r\n"):
        assert await connection.status() == 200
    assert await connection.rest() == b""


@pytest.mark.usefixtures("hurried")
async def test_a_head_that_trickles_is_given_up(connection: Connection) -> None:
    with contextlib.suppress(ConnectionError):
        await connection.send(GET)
        for _ in range(100):
            await connection.send(b"X: y\r\n")
            await asyncio.sleep(0.02)
        pytest.fail("it still listens after 2 s")


@pytest.mark.usefixtures("hurried")
async def test_a_body_that_nobody_reads_and_that_trickles_is_given_up(
    connection: Connection, app: Answering
) -> None:
    app.reads = False
    await connection.send(POST + b"Content-Length: 1000\r\n\r\n")
    assert await connection.status() == 200
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            await connection.send(b"x")
            await asyncio.sleep(0.02)
        pytest.fail("it still listens after 2 s")


@pytest.mark.usefixtures("hurried")
async def test_a_body_that_somebody_reads_is_left_to_who_reads_it(connection: Connection) -> None:
    await connection.send(POST + b"Content-Length: 40\r\n\r\n")
    for _ in range(40):
        await connection.send(b"x")
        await asyncio.sleep(0.02)
    assert await connection.status() == 200


@pytest.mark.usefixtures("hurried")
async def test_requests_one_after_the_other_are_not_given_up(connection: Connection) -> None:
    for _ in range(20):
        await connection.send(GET)
        await asyncio.sleep(0.02)
        await connection.send(b"\r\n")
        assert await connection.status() == 200
