"""Maps failures to problems, and installs the framework's handlers that answer with them."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from api.http.problems import (
    STORE_UNAVAILABLE,
    TOPICS_UNKNOWN,
    Failure,
    Problem,
    ProblemType,
    problem_reply,
)
from api.http.replies import response
from api.redis.store import StoreUnavailableError
from runtime.topology import TopologyError

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
    request: Request, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer for `problem`, with the headers that it needs."""
    found = response(problem_reply(request.scope["raw_path"].decode("ascii"), problem))
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
