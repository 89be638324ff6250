"""Pages of other origins: which of them a browser may let ask this server."""

from collections.abc import Collection
from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

CORS: Final = "cors"
"""In the state of the lifespan if pages of other origins may ask."""
_SENT: Final = ("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "X-API-Key")
_SEEN: Final = ("ETag", "Retry-After", "X-Request-Id")


def install_cors(app: FastAPI, origins: Collection[str]) -> None:
    """Let pages of `origins` ask `app`; keys go in headers, so cookies are never needed."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=sorted(origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=_SENT,
        expose_headers=_SEEN,
        max_age=600,
    )
