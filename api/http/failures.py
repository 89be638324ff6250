"""Answers failed requests with problems: known failures, and bugs.

The log line of a bug names the exception and where it was raised, but never its message: messages
quote data, such as the id of a user. With `LOG_LEVEL=DEBUG`, the messages are logged, too.
"""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.answer_headers import STARTS, answer_fields
from api.http.metrics import route_of
from api.http.problems import (
    INTERNAL,
    STORE_UNAVAILABLE,
    TOPICS_UNKNOWN,
    Failure,
    Problem,
    ProblemType,
    problem_reply,
)
from api.http.reply import response
from api.redis.store import StoreUnavailableError
from runtime.topology import TopologyError

_log = logging.getLogger(__name__)

_PROBLEM_OF: Final[Mapping[type[Exception], Callable[[Exception], Problem]]] = {
    StoreUnavailableError: lambda error: Problem(STORE_UNAVAILABLE, f"Redis: {error}"),
    TopologyError: lambda error: Problem(TOPICS_UNKNOWN, str(error)),
}
"""Failures of the layers below, which know nothing of HTTP."""


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that a failure maps to; None if it is a bug."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Failure):
        return error.problem()
    describe = _PROBLEM_OF.get(type(error))
    return None if describe is None else describe(error)


def problem_response(
    request: HTTPConnection, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer for `problem`, with the headers that it needs."""
    scope = request.scope
    request_id = answer_fields(scope).request_id
    found = response(problem_reply(scope["raw_path"].decode("ascii"), problem, request_id))
    found.headers.update(headers or {})
    return found


def install_failure_handlers(app: FastAPI) -> None:
    """Make `app` answer every error with a problem, including those of the framework."""

    async def of_failure(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        assert problem is not None  # noqa: S101 (as registered below)
        return problem_response(request, problem)

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 (as registered below)
        status = HTTPStatus(error.status_code)
        slug = status.phrase.lower().replace(" ", "-")
        detail = f"{request.method} {request.url.path}: {error.detail}. All endpoints: /docs"
        problem = Problem(ProblemType(slug, status.phrase, status.value), detail)
        return problem_response(request, problem, error.headers)

    for failure in (Problem, Failure, *_PROBLEM_OF):
        app.add_exception_handler(failure, of_failure)
    app.add_exception_handler(HTTPException, of_framework)


class BugBarrier:
    """Catches every exception of `app`, before a server logs it with its message."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer it if `app` fails."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] in STARTS
            await send(message)

        try:
            await self._app(scope, receive, noting_start)
        except Exception as error:  # noqa: BLE001 (this is its purpose)
            log_bug(error, scope.get("method", "WebSocket"), route_of(scope))
            # An answer that has begun cannot be replaced: the server closes the connection.
            if not started:
                await internal_problem(scope)(scope, receive, send)


def log_bug(error: Exception, method: str, route: str) -> None:
    """Log the exception and where it was raised, without its message."""
    _log.error(
        "%s %s failed: %s", method, route, _name(error), extra={"where": list(_places(error))}
    )
    _log.debug("with its message, which may contain user ids", exc_info=error)


def internal_problem(scope: Scope) -> ASGIApp:
    """Return the answer to a request that hit a bug."""
    detail = "An internal error; see the server's log"
    return problem_response(HTTPConnection(scope), Problem(INTERNAL, detail))


def _places(error: BaseException) -> Iterator[str]:
    """Yield the frames of an exception, outermost first, then those of its cause.

    Library frames are left out, except the one that raised it.
    """
    frames = traceback.extract_tb(error.__traceback__)  # empty for a cause that was never raised
    ours = [frame for frame in frames[:-1] if "site-packages" not in frame.filename]
    for frame in ours + frames[-1:]:
        yield f"{frame.filename}:{frame.lineno} in {frame.name}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield f"from {_name(cause)}"
        yield from _places(cause)


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"
