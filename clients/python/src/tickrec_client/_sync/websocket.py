"""Live bars and quotes over a WebSocket, which is reopened whenever it is lost."""

import threading
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Self

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tickrec_client import stream_events
from tickrec_client.problems import TickrecError, is_untrusted, may_pass, retry_after_s
from tickrec_client.requests import MAX_MESSAGE_BYTES, OPENING_S
from tickrec_client.stream_events import Missing, Received, Stale, Wanted, received

from .connection import Connection
from .stream import passed_on


class Stream:
    """A WebSocket: iterate over it to open it, and to receive what happens.

    After a lost connection it subscribes again, and first yields the bars that it missed.
    """

    def __init__(self, api: Connection) -> None:
        self._api = api
        self._url, self._headers = api.websocket()
        self._wanted = Wanted()
        self._missing = Missing()
        self._connection: ClientConnection | None = None
        self._closed = threading.Event()

    def subscribe(
        self, *, bars: Iterable[int | str] = (), quotes: Iterable[int | str] = ()
    ) -> None:
        """Receive bars, quotes or both of more instruments: 500 in one stream."""
        self._say(self._wanted.change("subscribe", bars, quotes))

    def unsubscribe(
        self, *, bars: Iterable[int | str] = (), quotes: Iterable[int | str] = ()
    ) -> None:
        """Receive nothing more of these; name them as they were subscribed."""
        self._say(self._wanted.change("unsubscribe", bars, quotes))

    def __iter__(self) -> Generator[Received]:
        """Yield what happens, until it is closed.

        Raises:
            TickrecError: the API refuses the stream, and a retry would not succeed either.
            ssl.SSLCertVerificationError: the server's certificate cannot be verified.
        """
        while not self._closed.is_set():
            pause_s = stream_events.RECONNECT_S
            try:
                with closing(self._connected()) as changes:
                    yield from changes
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
            yield from self._missing.take(Stale("disconnected"))
            time.sleep(pause_s)

    def close(self) -> None:
        """Close the connection, and end the iteration."""
        self._closed.set()
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> Generator[Received]:
        """Yield what happens on one connection."""
        try:
            with connect(
                self._url,
                additional_headers=self._headers,
                open_timeout=OPENING_S,
                max_size=MAX_MESSAGE_BYTES,
            ) as connection:
                self._subscribe_again(connection)
                for message in connection:
                    for event in received(message):
                        self._wanted.answered(event)
                        yield from passed_on(self._api, self._missing, event)
        except InvalidStatus as error:
            raise _problem(error) from error

    def _subscribe_again(self, connection: ClientConnection) -> None:
        self._connection = connection
        if self._closed.is_set():
            connection.close()
            return
        for command in self._wanted.again():
            self._say(command)

    def _say(self, command: str) -> None:
        """Send a command; if the connection is lost, the next one begins with what is wanted."""
        if self._connection is not None:
            try:
                self._connection.send(command)
            except ConnectionClosed:
                self._connection = None


def _problem(error: InvalidStatus) -> TickrecError:
    """Return the problem with which the opening was answered."""
    answer = error.response
    headers = list(answer.headers.raw_items())
    body = bytes(answer.body)
    return TickrecError(httpx.Response(answer.status_code, headers=headers, content=body))
