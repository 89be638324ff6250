"""The API as a function of AWS Lambda: `api.aws_lambda.handler` answers API Gateway's HTTP APIs.

It serves reads only. Lambda freezes the process between requests, and with it the tasks that
follow Redis in the background; a response is sent as a whole, so a stream would never be delivered.
API Gateway decides which requests arrive here: see docs/adr/0015.
"""

import asyncio
import contextlib
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from starlette.types import Receive, Scope, Send

from api.app import create_app
from api.http.security import ANY_HOST
from api.settings import ApiSettings
from runtime.logs import configure_logs
from runtime.settings import read_settings

_UNAVAILABLE: Final = 503
_CONNECTED_WITHIN_S: Final = 1.0
"""How long a read waits for connections, on top of the application's own 250 ms."""
_LOOK_EVERY_S: Final = 0.01


class Function:
    """Answers one request after another, with an application that stays connected in between."""

    def __init__(self, app: FastAPI) -> None:
        """Start the application, in what becomes this thread's event loop."""
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)  # where Mangum looks for it
        self._running = contextlib.AsyncExitStack()
        # Mangum would start and stop the application with each request.
        starting = self._running.enter_async_context(app.router.lifespan_context(app))
        started = self._loop.run_until_complete(starting)
        state = dict(started or {})

        async def completed(scope: Scope, receive: Receive, send: Send) -> None:
            raw_path = quote(scope["path"]).encode()  # Mangum gives none
            await app({**scope, "raw_path": raw_path, "state": state}, receive, send)

        text = [*DEFAULT_TEXT_MIME_TYPES, "application/problem+json"]
        self._adapter = Mangum(completed, lifespan="off", text_mime_types=text)

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Return the answer to an event, both in API Gateway's format 2.0."""
        answer = self._adapter(event, context)
        # Connections may have closed while the process was frozen, and reconnect only now.
        late = self._loop.time() + _CONNECTED_WITHIN_S
        while answer["statusCode"] == _UNAVAILABLE and _reads(event) and self._loop.time() < late:
            self._loop.run_until_complete(asyncio.sleep(_LOOK_EVERY_S))
            answer = self._adapter(event, context)
        return answer

    def close(self) -> None:
        """Stop the application; Lambda never calls this, it just ends the process."""
        self._loop.run_until_complete(self._running.aclose())
        self._loop.close()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the answer to an event; the first call creates the application from the settings."""
    return _function()(event, context)


def _reads(event: dict[str, Any]) -> bool:
    return event["requestContext"]["http"]["method"] in ("GET", "HEAD")


@cache
def _function() -> Function:
    settings = read_settings(ApiSettings)
    configure_logs("api", settings)
    # API Gateway answers only to its own names, so DNS rebinding is not possible.
    gateway = settings.model_copy(update={"api_hosts": frozenset((ANY_HOST,))})
    return Function(create_app(gateway))
