"""uvicorn with the hot path in it, that ends without losing a request.

uvicorn closes idle connections as soon as it is told to end. A request that is just on its way on
one of them is lost, and a load balancer must not send a write again. This one first closes the door
to new connections, which go elsewhere, answers on the others with `Connection: close`, and waits
until the clients have hung up.
"""

import asyncio
import contextlib
import logging
import socket
from typing import Final, Protocol, TypedDict

import uvicorn
from fastapi import FastAPI

from api.hot.protocol import HotProtocol
from api.hot.serving import Serving
from api.http.health import DRAINING
from api.http.hosts import Hosts

HANG_UP_S: Final = 5.0
"""As long as uvicorn keeps an idle connection; infra/nginx closes its own after 4 s."""
_LOOK_EVERY_S: Final = 0.02
_GRACE_S: Final = 10
"""What is under way may end within it: longer than the longest bound of an answer."""


_log = logging.getLogger(__name__)


class Streams(Protocol):
    """What goes on for as long as a client likes."""

    def close(self) -> None:
        """End all at once, and begin no more."""


class State(TypedDict):
    """The state of the lifespan, which the application yields."""

    serving: Serving
    streams: Streams
    cors: bool
    """whether pages of other origins may ask, which the framework's routes know about"""
    hosts: Hosts | None
    """the names that the server answers to; None: to any"""


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
        """Make a server.

        Args:
            app: what it serves.
            host: the address that it serves on.
            port: likewise; 0 lets the system choose.
            private: another address and port of it.
            proxies: those that say who the client is, comma-separated.
            hang_up_s: how long clients may take to hang up in the end.
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
                ws="none",  # there are none, and uvicorn would log the paths of those asked for
                log_config=None,
                access_log=False,  # it would name users
                server_header=False,
                forwarded_allow_ips=proxies,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, on the private port as well if there is one."""
        await super().startup(sockets)
        if self._private is None or not self.started:
            return
        self.started = False  # whoever waits for it may ask on either port
        host, port = self._private
        loop = asyncio.get_running_loop()
        try:
            self.servers.append(await loop.create_server(self._protocol, host, port))
            self.started = True
        except OSError as error:
            _log.error("nothing can be served on %s:%d: %s", host, port, error)
            self.should_exit = True
            await self.lifespan.shutdown()

    def _protocol(self) -> HotProtocol:
        return HotProtocol(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the clients hang up, then end as uvicorn does."""
        state = self.lifespan.state
        state[DRAINING] = True
        for server in self.servers:
            server.close()
        streams: Streams | None = state.get("streams")
        if streams is not None:
            streams.close()
        await self._await_hanging_up()
        await super().shutdown(sockets)

    async def _await_hanging_up(self) -> None:
        """Answer those who are connected; return when all have hung up, or in bounded time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._hang_up_s):
                while self.server_state.connections:  # noqa: ASYNC110 (a plain set of uvicorn's)
                    await asyncio.sleep(_LOOK_EVERY_S)
