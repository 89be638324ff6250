"""Bounds on incoming requests: the size of the head, and the time to arrive.

uvicorn's parser accepts headers of any size, and waits for the rest of a request forever; 100 MB of
headers take 100 MB of memory. Here, either closes the connection. Bodies are bounded, in size and
time, where they are read (`api.http.bodies`).
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 * 1024
"""The limit of Apache and Node; the block that contains its end may exceed it."""
ARRIVAL_TIMEOUT_S: Final = 10.0
"""For a request that is not being answered, from its first byte, or for an idle connection."""


class BoundedArrival(HttpToolsProtocol):
    """uvicorn's protocol, for clients that may never finish a request."""

    _head_bytes = 0
    """bytes received since the last request, without those of bodies"""
    _chunk_bytes = 0
    _in_body = False
    _in_message = False
    """whether a request has begun to arrive, and not ended"""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a request."""
        super().connection_made(transport)
        self._expect_its_end()

    def data_received(self, data: bytes) -> None:
        """Accept data, unless it is too much."""
        self._chunk_bytes = len(data)
        super().data_received(data)
        if self._in_body:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
        elif self._head_bytes:
            self._expect_its_end()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_message = True
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Accept a part of a body."""
        self._in_body = True
        self._expect_its_end()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request: the bytes after it belong to the head of the next one."""
        self._in_body = self._in_message = False
        self._head_bytes = -self._chunk_bytes
        self._expect_nothing()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_its_end(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(ARRIVAL_TIMEOUT_S, self._give_up)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_its_end()  # answering has its own bound
        else:
            self.transport.close()
