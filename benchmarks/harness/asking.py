"""A minimal HTTP client, for scenarios whose own measurements must cost next to nothing."""

import asyncio
import re
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from infra.local.process import LOOPBACK

_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_END_OF_HEAD: Final = b"\r\n\r\n"
_STATUS: Final = slice(9, 12)


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """Has one request under way at a time, and hands out its answer."""

    def __init__(self, on_answer: Callable[["Connection", Answer], None]) -> None:
        self.due_s = 0.0
        """when the request under way was due"""
        self.transport: asyncio.Transport
        self._on_answer = on_answer
        self._parts: list[bytes] = []
        self._missing = 0
        """bytes of the answer; 0: its head is not there yet"""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes, due_s: float = 0.0) -> None:
        """Send a request."""
        self.due_s = due_s
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        self._parts.append(data)
        if self._missing:
            self._missing -= len(data)
        else:
            self._parts = [b"".join(self._parts)]
            head, end, body = self._parts[0].partition(_END_OF_HEAD)
            if not end:
                return
            length = _LENGTH.search(head)
            self._missing = (int(length[1]) if length else 0) - len(body)
        if self._missing <= 0:
            head, _, body = b"".join(self._parts).partition(_END_OF_HEAD)
            self._parts, self._missing = [], 0
            self._on_answer(self, Answer(int(head[_STATUS]), body))


async def connected(port: int, on_answer: Callable[[Connection, Answer], None]) -> Connection:
    """Return a new connection to a server on this machine."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(on_answer), LOOPBACK, port)
    return connection
