"""Serves the operators' endpoints on a separate port, if one is configured."""

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.failures import problem_response
from api.http.problems import NOT_FOUND, Problem

_PATHS: Final = frozenset({"/metrics", "/docs", "/openapi.json"})
_FOLDERS: Final = ("/health/", "/docs/")


class Private:
    """Hides metrics, health and documentation of `app` from all ports but `port`."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it arrived on the wrong port."""
        if scope["type"] == "http" and _is_private(scope["path"]) and not self._came_in(scope):
            detail = f"{scope['method']} {scope['path']}: it is served on another port"
            answer = problem_response(Request(scope), Problem(NOT_FOUND, detail))
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _came_in(self, scope: Scope) -> bool:
        server = scope.get("server")
        return server is not None and server[1] == self._port


def _is_private(path: str) -> bool:
    return path in _PATHS or path.startswith(_FOLDERS)
