"""Errors as RFC 9457 problems: every kind that a client can get, its answer, and shared examples.

`type` is stable: clients may branch on it. `title` describes the type, `detail` the occurrence.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from api.http.reply import ONCE, Reply, fields

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:tickrec:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem: the part that is the same for every occurrence."""

    slug: str
    title: str
    status: int
    retry_after_s: int | None = None
    """Time after which a retry may succeed, if it may."""

    @property
    def uri(self) -> str:
        """The problem's `type`."""
        return TYPE_PREFIX + self.slug


MALFORMED_JSON: Final = ProblemType("malformed-json", "The body is not JSON", 400)
INVALID_HTTP: Final = ProblemType("invalid-http", "Not a valid HTTP request", 400)
UNAUTHORIZED: Final = ProblemType("unauthorized", "API key required", 401)
FORBIDDEN: Final = ProblemType("forbidden", "Insufficient scope", 403)
UNKNOWN_ORIGIN: Final = ProblemType("unknown-origin", "Unknown origin", 403)
NOT_FOUND: Final = ProblemType("not-found", "Not Found", 404)
UNKNOWN_INSTRUMENT: Final = ProblemType("unknown-instrument", "Unknown instrument", 404)
UNKNOWN_USER: Final = ProblemType("unknown-user", "Unknown user", 404)
NO_MODEL_YET: Final = ProblemType("no-model-yet", "No model is trained yet", 404, retry_after_s=30)
REQUEST_IN_PROGRESS: Final = ProblemType(
    "request-in-progress", "The first request with this key is in progress", 409, retry_after_s=1
)
OUTCOME_UNKNOWN: Final = ProblemType(
    "outcome-unknown", "The outcome of the first request with this key is unknown", 409
)
INCOMPLETE_BODY: Final = ProblemType("incomplete-body", "Incomplete body", 408)
TOO_LARGE: Final = ProblemType("too-large", "The body is too large", 413)
UNKNOWN_HOST: Final = ProblemType("unknown-host", "Unknown host name", 421)
UNSUPPORTED_MEDIA_TYPE: Final = ProblemType(
    "unsupported-media-type", "The media type of the body is not accepted", 415
)
UPGRADE_REQUIRED: Final = ProblemType("upgrade-required", "WebSocket required", 426)
INVALID_REQUEST: Final = ProblemType("invalid-request", "Invalid request", 422)
INVALID_EVENTS: Final = ProblemType("invalid-events", "Invalid events", 422)
IDEMPOTENCY_KEY_REUSED: Final = ProblemType(
    "idempotency-key-reused", "The key was used for another request", 422
)
RATE_LIMITED: Final = ProblemType("rate-limited", "The quota is used up", 429, retry_after_s=1)
TOO_MANY_STREAMS: Final = ProblemType(
    "too-many-streams", "The client has too many streams open", 429, retry_after_s=1
)
INTERNAL: Final = ProblemType("internal", "Internal error", 500)
STORE_UNAVAILABLE: Final = ProblemType(
    "store-unavailable", "Redis does not answer in time", 503, retry_after_s=1
)
OVERLOADED: Final = ProblemType("overloaded", "Server overloaded", 503, retry_after_s=1)
TOPICS_UNKNOWN: Final = ProblemType(
    "topics-unknown", "The topics are not set up yet", 503, retry_after_s=5
)
GENERATION_REPLACED: Final = ProblemType(
    "generation-replaced", "The model was replaced during the request", 503, retry_after_s=1
)
LOG_UNAVAILABLE: Final = ProblemType(
    "log-unavailable", "Kafka does not acknowledge in time", 503, retry_after_s=5
)
NOT_READY: Final = ProblemType("not-ready", "Not ready to serve", 503, retry_after_s=1)

NO_SUCH_SYMBOL: Final = "No instrument has the symbol 'AAPL'"
READING: Final[dict[ProblemType, str]] = {
    INVALID_REQUEST: "instrument: must be a whole number from 0 to 9223372036854775807",
    OVERLOADED: "256 requests are in flight already: try again in a second",
    STORE_UNAVAILABLE: "Redis: no answer in 0.2 s",
    TOPICS_UNKNOWN: "meta:topics in Redis has no partitions for quotes: "
    "run `python -m operations.topics` first",
}
NOT_YET: Final = (
    "The trainer has not published a model yet: it starts some seconds after the first interactions"
)
READING_LISTS: Final[dict[ProblemType, str]] = {
    **READING,
    NO_MODEL_YET: NOT_YET,
    GENERATION_REPLACED: "The model was replaced while it was read: try again",
}
LONG_USER_ID: Final[dict[ProblemType, str]] = {
    INVALID_REQUEST: "user_id: must have 1 to 128 bytes of UTF-8, got 129"
}
WRITING: Final[dict[ProblemType, str]] = {
    MALFORMED_JSON: "JSON is malformed: invalid character (byte 12)",
    INCOMPLETE_BODY: "4 s are allowed for a whole body: send fewer events at a time",
    UNSUPPORTED_MEDIA_TYPE: "Send `Content-Type: application/json`, not 'text/plain'",
    TOO_LARGE: "At most 1048576 bytes are accepted: send the events in parts",
    INVALID_EVENTS: "1 of 2 events invalid, none accepted; the first is at index 1: "
    "price: must be a number of at least 1e-18, got -1",
    RATE_LIMITED: "At most 10000 events in 1 s: try again after 1 s",
    OVERLOADED: "64 requests are in flight already: try again in a second",
    LOG_UNAVAILABLE: "Kafka acknowledged 0 of 2 messages: Local: Message timed out. "
    "Those may be counted again if all are sent again",
}
WRITING_ONCE: Final[dict[ProblemType, str]] = {
    REQUEST_IN_PROGRESS: "The first request with this key is not answered yet",
    OUTCOME_UNKNOWN: "Of the first request with this key, some or all may be in the log: it was "
    "interrupted. The key publishes nothing for another 86317 s; with a new key everything is "
    "published again, and may count twice",
    IDEMPOTENCY_KEY_REUSED: "The key was used for a request with another method, path, query, type "
    "or body: send each request with a key of its own",
    INVALID_REQUEST: "Idempotency-Key: must be 1 to 255 printable ASCII characters without spaces "
    "or quotes, not ''",
    STORE_UNAVAILABLE: "Redis: no answer in 0.2 s",
}
"""Of writes with an `Idempotency-Key`."""


class Problem(Exception):  # noqa: N818 (the RFC's word)
    """Ends a request with a problem; `members` are added to the standard ones."""

    rate = b""
    """the fields of the quota that is used up, if one is"""

    def __init__(self, kind: ProblemType, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.members = members


def broken_rule(field: str, reason: str) -> Problem:
    """Return the problem of one invalid field."""
    errors = [{"field": field, "reason": reason}]
    return Problem(INVALID_REQUEST, f"{field}: {reason}", errors=errors)


class Failure(Exception):  # noqa: N818 (its subclasses are errors)
    """An exception that knows its problem."""

    may_have_taken_effect = False
    """whether what was requested may have been done nevertheless"""

    def problem(self) -> Problem:
        """Return the problem that the client gets."""
        raise NotImplementedError


def problem_reply(path: str, problem: Problem, request_id: bytes) -> Reply:
    """Return the answer with `problem` to a request for `path`, given as received, with its id."""
    kind = problem.kind
    body = msgspec.json.encode(
        {
            "type": kind.uri,
            "title": kind.title,
            "status": kind.status,
            "detail": problem.detail,
            "instance": path,
            "request_id": request_id.decode(),
            **problem.members,
        }
    )
    headers = [
        (b"content-length", b"%d" % len(body)),
        (b"content-type", MEDIA_TYPE.encode()),
        (b"cache-control", ONCE),
    ]
    if kind.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % kind.retry_after_s))
    if kind is UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if kind is UPGRADE_REQUIRED:
        headers += [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    if kind is INCOMPLETE_BODY:
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    return Reply(kind.status, fields(headers) + problem.rate, body)
