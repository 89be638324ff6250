"""CORS: the origins whose pages may send requests to this server."""

from collections.abc import Collection
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CORS: Final = "cors"
"""Set in the lifespan state if cross-origin requests are allowed."""
_SENT: Final = ("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "X-API-Key")
_SEEN: Final = ("ETag", "Retry-After", "X-Request-Id")


class Varied:
    """Marks each answer of `app` as dependent on the request's origin.

    Otherwise a cache could serve what it stored for one origin, or for none, to a page of another.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the header to its answer."""

        async def varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", ())))
                if "origin" not in headers.get("vary", "").lower():
                    headers.add_vary_header("Origin")
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, varied)


def install_cors(app: FastAPI, origins: Collection[str]) -> None:
    """Allow requests from pages of `origins`; keys are headers, so cookies are never needed."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=sorted(origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=_SENT,
        expose_headers=_SEEN,
        max_age=600,
    )
    app.add_middleware(Varied)
