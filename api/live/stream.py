"""Sends the events of a listener until either side ends it: server-sent events, or a WebSocket.

A framework's streaming response waits for a slow client without a limit. This one ends when the
client has read nothing for a while, even if the server has data for it. A WebSocket is sent to in
the same way, with the same limits and the same pace; its client begins without subscriptions, and
may change them.

A traced stream is one span, from the request to its end, with the number of bars and quotes sent
and the side that ended it. Messages from workers name no span, and there may be thousands of bars a
second: they have neither spans nor links to the flush that wrote them.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.http.answer_headers import answer_fields
from api.http.endpoint import Endpoint
from api.http.failures import problem_of, problem_response
from api.http.keys.access import Access
from api.http.limits import client_of
from api.http.parsing import Resolve
from api.http.problems import UNKNOWN_ORIGIN, Problem
from api.http.server_state import STALLED_AFTER_S, WEBSOCKET_PATH
from api.live import commands
from api.live.answers import WEBSOCKET
from api.live.hub import LiveBars
from api.live.listener import Listener
from runtime.tracing import Tracing

PACE_S: Final = 0.1
"""The interval between writes: a flush of the workers arrives in some hundred chunks, and a write
costs much more than a bar in it. The first bar after a pause is sent at once."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # makes nginx pass each event on at once
}


class StalledError(Exception):
    """A client has read nothing for `STALLED_AFTER_S`."""


class Sender:
    """Sends the events of a listener, which leaves when the stream ends."""

    def __init__(self, live: LiveBars, listener: Listener, tracing: Tracing) -> None:
        self._live = live
        self._listener = listener
        self._tracing = tracing
        self._is_gone = False

    async def run(
        self,
        opening: bytes,
        send: Callable[[bytes], Awaitable[None]],
        attend: Callable[[], Awaitable[None]],
    ) -> None:
        """Send until the client disconnects or stalls, or the stream is ended.

        Args:
            opening: what is sent first.
            send: sends events; returns when the client has room for more.
            attend: returns when the client has disconnected; its errors end the stream.

        Raises:
            StalledError: the client reads nothing.
        """
        attending = asyncio.create_task(self._end_after(attend))
        try:
            await self._send_all(opening, send)
        except TimeoutError:
            self._note_end("stalled client")
            self._live.drop(self._listener)
            raise StalledError from None
        finally:
            attending.cancel()
            self._live.leave(self._listener)
        self._note_end("client" if self._is_gone else "server")
        if attending.done():
            attending.result()

    async def _send_all(self, opening: bytes, send: Callable[[bytes], Awaitable[None]]) -> None:
        said: bytes | None = opening
        while said is not None:
            async with asyncio.timeout(STALLED_AFTER_S):
                await send(said)
            await asyncio.sleep(PACE_S)
            said = await self._listener.take()

    async def _end_after(self, attend: Callable[[], Awaitable[None]]) -> None:
        try:
            await attend()
            self._is_gone = True
        finally:
            self._listener.end()

    def _note_end(self, ended_by: Literal["client", "server", "stalled client"]) -> None:
        """Record in the span how the stream ended."""
        self._tracing.note(
            {
                "tickrec.stream.instruments": len({i for _, i in self._listener.subscribed}),
                "tickrec.stream.events": self._listener.events_sent,
                "tickrec.stream.ended_by": ended_by,
            }
        )


class EventStream(Response):
    """Sends the events of a listener as server-sent events."""

    media_type = "text/event-stream"

    def __init__(
        self, live: LiveBars, listener: Listener, tracing: Tracing, opening: bytes
    ) -> None:
        # The parent's would declare an empty body.
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)
        self._sender = Sender(live, listener, tracing)
        self._opening = opening

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client disconnects or stalls, or the stream is ended."""

        async def part(events: bytes) -> None:
            await send({"type": "http.response.body", "body": events, "more_body": True})

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        with contextlib.suppress(StalledError):  # without an end, the server closes the connection
            await self._sender.run(self._opening, part, until_gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def clients_of(request: HTTPConnection, access: Access) -> list[str]:
    """Return a client's names: its address, and its key's if it sent a valid one."""
    address, key = client_of(request.scope), access.valid_key(request.headers.raw)
    return [address] if key is None else [address, f"key {key.name}"]


_RESTARTS: Final = 1012
"""The code of a close: clients may reconnect at once."""


def install_websocket(
    app: FastAPI,
    endpoint: Endpoint,
    live: LiveBars,
    resolve: Resolve,
    access: Access,
    tracing: Tracing,
    origins: frozenset[str],
) -> None:
    """Install the WebSocket in `app`; pages of `origins` may open it, and those of its own.

    Its handshake is admitted as a request for `endpoint` is.
    """

    async def view(websocket: WebSocket) -> None:
        query = websocket.scope["query_string"].decode("latin-1")
        try:
            _check_origin(websocket, origins)
            headers, answer = websocket.headers.raw, answer_fields(websocket.scope)
            values, _ = access.admit(endpoint, {}, query, headers, answer)
            clients = clients_of(websocket, access)
            listener = await live.listen(WEBSOCKET[values["ids"]], frozenset(), clients)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            with contextlib.suppress(OSError):  # the client has gone
                await websocket.send_denial_response(problem_response(websocket, problem))
            return
        await _Connection(websocket, live, listener, resolve).run(tracing)

    app.add_api_websocket_route(WEBSOCKET_PATH, view)


class _Connection:
    """One open WebSocket."""

    def __init__(
        self, websocket: WebSocket, live: LiveBars, listener: Listener, resolve: Resolve
    ) -> None:
        self._websocket = websocket
        self._live = live
        self._listener = listener
        self._resolve = resolve
        self._names: commands.Names = {}

    async def run(self, tracing: Tracing) -> None:
        """Send and obey until either side ends it."""
        sender = Sender(self._live, self._listener, tracing)
        try:
            await self._websocket.accept()
            await sender.run(commands.connected(), self._send, self._obey)
            await self._websocket.close(_RESTARTS)
        except (StalledError, WebSocketDisconnect, OSError):
            return  # the server closes the connection, if the client has not
        finally:
            self._live.leave(self._listener)

    async def _send(self, message: bytes) -> None:
        if message:
            with contextlib.suppress(WebSocketDisconnect):  # `_obey` receives it, too
                await self._say(message)

    async def _say(self, message: bytes) -> None:
        await self._websocket.send_text(message.decode())

    async def _obey(self) -> None:
        """Follow the client's commands until it disconnects."""
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            try:
                await self._follow(message.get("text") or message.get("bytes") or b"")
            except Problem as problem:
                await self._say(commands.error(problem))
            await asyncio.sleep(PACE_S)  # each subscription is a read

    async def _follow(self, message: str | bytes) -> None:
        command = commands.command_of(message)
        self._names, unknown = commands.changed_by(command, self._names, self._resolve)
        # First, so that nothing of what is removed comes after the answer.
        self._live.change(self._listener, frozenset(self._names))
        await self._say(commands.subscription(self._names, self._listener.form))
        if unknown:
            await self._say(commands.error(commands.unknown_symbols(unknown)))


def _check_origin(websocket: WebSocket, origins: frozenset[str]) -> None:
    """Raise a Problem if a page of another origin opens it: browsers do not check that."""
    origin = websocket.headers.get("origin")
    own = websocket.headers.get("host", "")
    if origin is None or origin in origins or origin.partition("://")[2] == own:
        return
    raise Problem(
        UNKNOWN_ORIGIN,
        f"Origin {origin!r:.100}: add it to API_CORS_ORIGINS to let its pages open streams",
    )
