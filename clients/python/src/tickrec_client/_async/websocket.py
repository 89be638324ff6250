"""Live bars and quotes over a WebSocket, which is reopened whenever it is lost."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tickrec_client import stream_events
from tickrec_client.problems import TickrecError, is_untrusted, may_pass, retry_after_s
from tickrec_client.requests import MAX_MESSAGE_BYTES, OPENING_S
from tickrec_client.stream_events import Missing, Received, Stale, Wanted, received

from .connection import AsyncConnection
from .stream import passed_on


class AsyncStream:
    """A WebSocket: iterate over it to open it, and to receive what happens.

    After a lost connection it subscribes again, and first yields the bars that it missed.
    """

    def __init__(self, api: AsyncConnection) -> None:
        self._api = api
        self._url, self._headers = api.websocket()
        self._wanted = Wanted()
        self._missing = Missing()
        self._connection: ClientConnection | None = None
        self._closed = threading.Event()

    async def subscribe(
        self, *, bars: Iterable[int | str] = (), quotes: Iterable[int | str] = ()
    ) -> None:
        """Receive bars, quotes or both of more instruments: 500 in one stream."""
        await self._say(self._wanted.change("subscribe", bars, quotes))

    async def unsubscribe(
        self, *, bars: Iterable[int | str] = (), quotes: Iterable[int | str] = ()
    ) -> None:
        """Receive nothing more of these; name them as they were subscribed."""
        await self._say(self._wanted.change("unsubscribe", bars, quotes))

    async def __aiter__(self) -> AsyncGenerator[Received]:
        """Yield what happens, until it is closed.

        Raises:
            TickrecError: the API refuses the stream, and a retry would not succeed either.
            ssl.SSLCertVerificationError: the server's certificate cannot be verified.
        """
        while not self._closed.is_set():
            pause_s = stream_events.RECONNECT_S
            try:
                async with aclosing(self._connected()) as changes:
                    async for change in changes:
                        yield change
            except (TickrecError, httpx.TransportError) as error:
                if not may_pass(error):
                    raise
                pause_s = max(pause_s, retry_after_s(error))
            except (ConnectionClosed, InvalidHandshake, OSError) as error:
                if is_untrusted(error):
                    raise
            self._connection = None
            if self._closed.is_set():
                return
            for each in self._missing.take(Stale("disconnected")):
                yield each
            await asyncio.sleep(pause_s)

    async def aclose(self) -> None:
        """Close the connection, and end the iteration."""
        self._closed.set()
        if self._connection is not None:
            await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _connected(self) -> AsyncGenerator[Received]:
        """Yield what happens on one connection."""
        try:
            async with connect(
                self._url,
                additional_headers=self._headers,
                open_timeout=OPENING_S,
                max_size=MAX_MESSAGE_BYTES,
            ) as connection:
                await self._subscribe_again(connection)
                async for message in connection:
                    for event in received(message):
                        self._wanted.answered(event)
                        async for change in passed_on(self._api, self._missing, event):
                            yield change
        except InvalidStatus as error:
            raise _problem(error) from error

    async def _subscribe_again(self, connection: ClientConnection) -> None:
        self._connection = connection
        if self._closed.is_set():
            await connection.close()
            return
        for command in self._wanted.again():
            await self._say(command)

    async def _say(self, command: str) -> None:
        """Send a command; if the connection is lost, the next one begins with what is wanted."""
        if self._connection is not None:
            try:
                await self._connection.send(command)
            except ConnectionClosed:
                self._connection = None


def _problem(error: InvalidStatus) -> TickrecError:
    """Return the problem with which the opening was answered."""
    answer = error.response
    headers = list(answer.headers.raw_items())
    body = bytes(answer.body)
    return TickrecError(httpx.Response(answer.status_code, headers=headers, content=body))
