"""A server of the test's own process, and requests to it byte by byte."""

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from api.app import create_app
from api.hot.server import Server
from api.settings import ApiSettings
from infra.local.process import free_port
from runtime.kafka.config import plain
from tests.patience import PATIENCE_S, until_true

from .conftest import NOW_MS

ORDINARY = b"Content-Length: 0\r\n"
"""A header whose only effect is that a request takes the ordinary route."""
_LENGTH = re.compile(rb"content-length: (\d+)\r\n")
_OF_ITS_TIME = re.compile(
    rb"date: [^\r]*\r\n|(?<=\.)[A-Za-z0-9_-]{44}(?=[\"\r])|[0-9a-f]{12}-[0-9a-f]{8}(?=[\"\r])"
)


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def get(self, target: str, *, headers: bytes = b"") -> bytes:
        """Return a whole answer, but for its date and the random end of request ids."""
        return await self.send(request(target, headers=headers))

    async def send(self, data: bytes) -> bytes:
        """Send bytes, and return the next complete answer, without headers that depend on time."""
        self.writer.write(data)
        return await self.answer()

    async def answer(self) -> bytes:
        """Return the next whole answer, but for its date and the random end of request ids."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        return _OF_ITS_TIME.sub(b"", head + body)


def request(target: str, *, headers: bytes = b"", method: str = "GET") -> bytes:
    """Return a request as it is sent."""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n".encode() + headers + b"\r\n"


@contextlib.asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[Server, int]]:
    """Serve on a port of the system's choice, in a thread, by the tests' clock."""
    port = free_port()
    settings.setdefault("kafka", plain(f"127.0.0.1:{free_port()}"))
    read = ApiSettings(**settings)
    app = create_app(read, now_ms=lambda: NOW_MS)
    private = ("127.0.0.1", read.api_private_port) if read.api_private_port else None
    server = Server(app, "127.0.0.1", port, private=private, hang_up_s=0)
    server.config.timeout_keep_alive = round(PATIENCE_S)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        await _until_started(server)
        yield server, port
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join, PATIENCE_S)
        assert not thread.is_alive(), "the server does not end"


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """Connect to a server."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield Client(reader, writer)
    finally:
        writer.close()


@until_true
async def _until_started(server: Server) -> None:
    assert server.started
