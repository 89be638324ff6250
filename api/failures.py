"""Which problem each failure of the lower layers is, for a client."""

from collections.abc import Callable
from typing import Final

import msgspec
from fastapi import FastAPI, Request, Response

from api.events import InvalidEventsError, MalformedBodyError
from api.generations import GenerationReplacedError, NoModelYetError
from api.problems import (
    GENERATION_REPLACED,
    INVALID_EVENTS,
    LOG_UNAVAILABLE,
    MALFORMED_JSON,
    NO_MODEL_YET,
    STORE_UNAVAILABLE,
    TOPICS_UNKNOWN,
    Problem,
    problem_response,
)
from api.publisher import LogUnavailableError
from api.store import StoreUnavailableError
from runtime.topology import TopologyError


def _invalid_events(error: Exception) -> Problem:
    assert isinstance(error, InvalidEventsError)  # noqa: S101 (as registered below)
    return Problem(INVALID_EVENTS, str(error), errors=msgspec.to_builtins(error.errors))


def _log_unavailable(error: Exception) -> Problem:
    assert isinstance(error, LogUnavailableError)  # noqa: S101 (as registered below)
    detail = f"{error}. Those may be counted again if all are sent again"
    return Problem(LOG_UNAVAILABLE, detail, acknowledged=error.acknowledged)


_PROBLEM_OF: Final[dict[type[Exception], Callable[[Exception], Problem]]] = {
    StoreUnavailableError: lambda error: Problem(STORE_UNAVAILABLE, f"Redis: {error}"),
    TopologyError: lambda error: Problem(TOPICS_UNKNOWN, str(error)),
    NoModelYetError: lambda _: Problem(
        NO_MODEL_YET, "The trainer has not published a model yet: try again after its next run"
    ),
    GenerationReplacedError: lambda _: Problem(
        GENERATION_REPLACED, "The model was replaced while it was read: try again"
    ),
    MalformedBodyError: lambda error: Problem(MALFORMED_JSON, str(error)),
    InvalidEventsError: _invalid_events,
    LogUnavailableError: _log_unavailable,
}


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that a failure is for a client; None if it is a bug."""
    if isinstance(error, Problem):
        return error
    describe = _PROBLEM_OF.get(type(error))
    return None if describe is None else describe(error)


def install_failure_handlers(app: FastAPI) -> None:
    """Have `app` answer the failures of its lower layers with their problems."""

    async def of_failure(request: Request, error: Exception) -> Response:
        return problem_response(request, _PROBLEM_OF[type(error)](error))

    for failure in _PROBLEM_OF:
        app.add_exception_handler(failure, of_failure)
