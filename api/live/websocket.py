"""`/v1/stream`: live bars and quotes over a WebSocket, of instruments that may change.

A stream is a listener as one of server-sent events is, with the same limits and the same pace; it
begins without subscriptions.
"""

import asyncio
import contextlib
from typing import Final

from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.http.endpoint import Endpoint
from api.http.failures import problem_of, problem_response
from api.http.keys.access import Access
from api.http.parsing import Resolve
from api.http.problems import UNKNOWN_ORIGIN, Problem
from api.http.streams import WEBSOCKET_PATH
from api.live import commands
from api.live.bars import LiveBars
from api.live.endpoints import clients_of
from api.live.frames import WEBSOCKET
from api.live.listener import Listener
from api.live.stream import PACE_S, Sender, StalledError
from runtime.tracing import Tracing

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
            values, _, _ = access.admit(endpoint, {}, query, websocket.headers.raw)
            clients = clients_of(websocket, access)
            listener = await live.listen(WEBSOCKET[values["ids"]], frozenset(), clients)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            refusal = problem_response(websocket, problem)
            await websocket.send_denial_response(refusal)
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
        except (StalledError, WebSocketDisconnect):
            return  # the server closes the connection, if it is not yet closed
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
        await self._say(commands.subscription(self._names, self._listener.form))
        self._live.change(self._listener, frozenset(self._names))
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
