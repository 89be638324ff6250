"""uvicorn with the hot path in it, that ends without losing a request.

uvicorn closes idle connections as soon as it is told to end, and a request that is just on its way
on one of them is lost. This one first answers for a while with `Connection: close`, and
`/health/ready` with 503: clients come back on another connection, load balancers go elsewhere.
"""

import asyncio
import socket
from typing import Final

import uvicorn
from fastapi import FastAPI

from api.hot.protocol import DRAINING, HotProtocol
from api.services import Services

DRAIN_S: Final = 1.0
"""Clients that are busy have asked at least once more within it."""
_GRACE_S: Final = 10
"""What is under way may end within it: longer than the longest bound of an answer."""


class Server(uvicorn.Server):
    """Serves one application on one address."""

    def __init__(self, app: FastAPI, host: str, port: int, drain_s: float = DRAIN_S) -> None:
        self._drain_s = drain_s
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
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then end as uvicorn does."""
        state = self.lifespan.state
        state[DRAINING] = True
        services: Services | None = state.get("services")
        if services is not None:
            services.live.close()
            await asyncio.sleep(self._drain_s)
        await super().shutdown(sockets)
