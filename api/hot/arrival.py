"""Bounds on how a request arrives: how large its head may be, and how long it may take.

uvicorn's parser takes headers without end, and waits for the rest of a request for ever; 100 MB of
headers are 100 MB of memory. Here either ends its connection. How large a body may be, and how long
one is waited for that somebody reads, is judged where it is read (`api.http.writing`).
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 * 1024
"""As much as Apache or Node take at most; what comes at once with its end may be a block more."""
ARRIVAL_TIMEOUT_S: Final = 10.0
"""For a request without an answer under way, from its first byte, or a connection without any."""


class BoundedArrival(HttpToolsProtocol):
    """uvicorn's protocol, for clients that cannot be trusted to come to an end."""

    _head_bytes = 0
    """what came since the last request, as far as it came without a body"""
    _chunk_bytes = 0
    _in_body = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._expect_its_end()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is too much."""
        self._chunk_bytes = len(data)
        super().data_received(data)
        if self._in_body:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
        elif self._head_bytes:
            self._expect_its_end()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._in_body = True
        self._expect_its_end()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request: what else came with its end is the head of the next one."""
        self._in_body = False
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
            self._expect_its_end()  # who answers has a bound of its own
        else:
            self.transport.close()
