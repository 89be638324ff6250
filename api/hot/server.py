"""uvicorn with the hot path, and with a shutdown that loses no request.

On shutdown, uvicorn closes idle connections at once. A request that is arriving on one of them is
lost, and a load balancer must not retry a write. This server first stops accepting connections,
answers on the open ones with `Connection: close`, and waits until the clients have closed them.
"""

import asyncio
import contextlib
import logging
import socket
from typing import Any, Final, Protocol, TypedDict

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from api.hot.protocol import HotProtocol
from api.hot.serving import Serving
from api.http.server_state import DRAINING, HEARTBEAT_S, MAX_MESSAGE_BYTES, STALLED_AFTER_S

HANG_UP_S: Final = 5.0
"""uvicorn's keep-alive timeout; infra/nginx closes its own connections after 4 s."""
_LOOK_EVERY_S: Final = 0.02
_GRACE_S: Final = 10
"""Time for requests in flight to finish: longer than the longest bound of an answer."""

_log = logging.getLogger(__name__)
_websocket_log: Final = logging.getLogger("uvicorn.websocket")
_websocket_log.setLevel(logging.WARNING)


class Streams(Protocol):
    """Answers that last as long as the client likes."""

    def close(self) -> None:
        """End all at once, and start no more."""


class State(TypedDict):
    """The lifespan state, which the application yields."""

    serving: Serving
    streams: Streams
    connections: int
    """how many may be open"""
    cors: bool
    """whether cross-origin requests are allowed, which only the framework's routes support"""


class QuietWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket, which logs no requested path."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.logger = self.conn.logger = _websocket_log


class Server(uvicorn.Server):
    """Serves one application on one address."""

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        *,
        private: tuple[str, int] | None = None,
        proxies: str = "127.0.0.1",
        hang_up_s: float = HANG_UP_S,
    ) -> None:
        """Configure the server.

        Args:
            app: the application to serve.
            host: the address to listen on.
            port: the port to listen on; 0 lets the system choose.
            private: another address and port to listen on.
            proxies: trusted to name the client, comma-separated.
            hang_up_s: how long clients may take to close their connections on shutdown.
        """
        self._private = private
        self._hang_up_s = hang_up_s
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                loop="uvloop",
                http=HotProtocol,
                ws=QuietWebSocket,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_ping_interval=HEARTBEAT_S,
                ws_ping_timeout=STALLED_AFTER_S,
                ws_per_message_deflate=False,  # it would compress each bar for each client
                log_config=None,
                access_log=False,  # it would contain user ids
                server_header=False,
                forwarded_allow_ips=proxies,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, on the private port as well if there is one."""
        await super().startup(sockets)
        if self._private is None or not self.started:
            return
        self.started = False  # once it is set, both ports must be ready
        host, port = self._private
        loop = asyncio.get_running_loop()
        try:
            self.servers.append(await loop.create_server(self._protocol, host, port))
            self.started = True
        except OSError as error:
            _log.error("cannot serve on %s:%d: %s", host, port, error)
            self.should_exit = True
            await self.lifespan.shutdown()

    def _protocol(self) -> HotProtocol:
        protocol = HotProtocol(self.config, self.server_state, self.lifespan.state)
        protocol.is_private = True
        return protocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the clients close their connections, then shut down as uvicorn does."""
        state = self.lifespan.state
        state[DRAINING] = True
        for server in self.servers:
            server.close()
        if "streams" in state:
            state["streams"].close()
        await self._await_hanging_up()
        await super().shutdown(sockets)

    async def _await_hanging_up(self) -> None:
        """Answer the connected clients; return when all have disconnected, or in bounded time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._hang_up_s):
                while self.server_state.connections:  # noqa: ASYNC110 (a plain set of uvicorn's)
                    await asyncio.sleep(_LOOK_EVERY_S)
