"""Errors as RFC 9457 problems: every kind that a client can meet, and how it is answered.

`type` is stable: clients may branch on it. `title` belongs to the type, `detail` to the case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:tickrec:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem: what stays the same from case to case."""

    slug: str
    title: str
    status: int
    retry_after_s: int | None = None
    """After how long another try may succeed, where one may."""

    @property
    def uri(self) -> str:
        """The problem's `type`."""
        return TYPE_PREFIX + self.slug


MALFORMED_JSON: Final = ProblemType("malformed-json", "The body is not JSON", 400)
UNAUTHORIZED: Final = ProblemType("unauthorized", "An API key is needed", 401)
UNKNOWN_INSTRUMENT: Final = ProblemType("unknown-instrument", "Unknown instrument", 404)
UNKNOWN_USER: Final = ProblemType("unknown-user", "Unknown user", 404)
NO_MODEL_YET: Final = ProblemType("no-model-yet", "No model is trained yet", 404, retry_after_s=30)
TOO_LARGE: Final = ProblemType("too-large", "The body is too large", 413)
INVALID_REQUEST: Final = ProblemType("invalid-request", "The request breaks a rule", 422)
INVALID_EVENTS: Final = ProblemType("invalid-events", "Events break a rule", 422)
INTERNAL: Final = ProblemType("internal", "The server failed", 500)
STORE_UNAVAILABLE: Final = ProblemType(
    "store-unavailable", "Redis does not answer in time", 503, retry_after_s=1
)
TOPICS_UNKNOWN: Final = ProblemType(
    "topics-unknown", "The topics are not set up yet", 503, retry_after_s=5
)
GENERATION_REPLACED: Final = ProblemType(
    "generation-replaced", "The model was replaced meanwhile", 503, retry_after_s=1
)
LOG_UNAVAILABLE: Final = ProblemType(
    "log-unavailable", "Kafka does not acknowledge in time", 503, retry_after_s=5
)
NOT_READY: Final = ProblemType("not-ready", "Not ready to serve", 503, retry_after_s=1)


class Problem(Exception):  # noqa: N818 (the RFC's word)
    """Ends a request with a problem; `members` are added to the answer's own."""

    def __init__(self, kind: ProblemType, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.members = members


def problem_response(
    request: Request, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer to a request that met `problem`."""
    kind = problem.kind
    body = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": request.url.path,
        **problem.members,
    }
    all_headers = dict(headers or {})
    if kind.retry_after_s is not None:
        all_headers["Retry-After"] = str(kind.retry_after_s)
    if kind is UNAUTHORIZED:
        all_headers["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body), kind.status, all_headers, MEDIA_TYPE)


def install_problem_handlers(app: FastAPI) -> None:
    """Have `app` answer every error with a problem, its framework's own included."""

    @app.exception_handler(Problem)
    async def of_ours(request: Request, error: Problem) -> Response:
        return problem_response(request, error)

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, error: RequestValidationError) -> Response:
        errors = [_parameter_error(entry) for entry in error.errors()]
        detail = "; ".join(f"{e['field']}: {e['reason']}" for e in errors)
        return problem_response(request, Problem(INVALID_REQUEST, detail, errors=errors))

    @app.exception_handler(HTTPException)
    async def of_framework(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        slug = status.phrase.lower().replace(" ", "-")
        detail = f"{request.method} {request.url.path}: {error.detail}. What there is: /docs"
        problem = Problem(ProblemType(slug, status.phrase, status.value), detail)
        return problem_response(request, problem, error.headers)

    @app.exception_handler(Exception)
    async def of_bugs(request: Request, _: Exception) -> Response:
        # The server logs the traceback; the client learns nothing of it.
        detail = "An error that is ours, not yours; it stands in the server's log"
        return problem_response(request, Problem(INTERNAL, detail))


def _parameter_error(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return field and reason of one error of FastAPI's."""
    field = str(entry["loc"][-1])
    given = f", not {entry['input']!r:.100}" if entry["type"] != "missing" else ""
    return {"field": field, "reason": entry["msg"].removeprefix("Value error, ") + given}
