"""What the API answers if it does not do what it was asked, and when to ask again."""

import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import msgspec

TYPE_PREFIX: Final = "urn:tickrec:problem:"
_SHOWN: Final = 200
"""Characters of an answer that is no problem of the API's."""
_MAY_PASS: Final = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})


class FieldError(msgspec.Struct, frozen=True):
    """An invalid field of the request, or an invalid event of a body."""

    reason: str
    field: str | None = None
    index: int | None = None
    """place of the event"""


class Problem(msgspec.Struct, frozen=True):
    """A problem as RFC 9457 defines it."""

    type: str
    title: str = ""
    detail: str = ""
    errors: list[FieldError] = []
    acknowledged: int = 0


class TickrecError(Exception):
    """The API answered with a problem.

    `kind` is the last part of `type`, such as `unknown-instrument`: branch on it. `retry_after_s`
    says when to ask again at the earliest, 0 if the API does not say. Of a write, `acknowledged`
    says how many of its messages are in the log.
    """

    def __init__(self, answer: httpx.Response) -> None:
        problem = _problem(answer)
        self.status = answer.status_code
        self.type = problem.type
        self.kind = problem.type.removeprefix(TYPE_PREFIX)
        self.title = problem.title
        self.detail = problem.detail
        self.errors = problem.errors
        self.acknowledged = problem.acknowledged
        self.retry_after_s = wait_s(answer.headers.get("Retry-After", ""), time.time())
        super().__init__(f"{self.status} {self.kind}: {self.detail}")


def wait_s(retry_after: str, now_s: float) -> float:
    """Return how many seconds a `Retry-After` asks to wait; a proxy may name a date instead.

    >>> wait_s("7", 0), wait_s("Thu, 01 Jan 1970 00:01:00 GMT", 15), wait_s("", 0)
    (7.0, 45.0, 0.0)
    """
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now_s)
    except ValueError:  # neither: as if it said nothing
        return 0.0


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed another time."""
    if isinstance(error, TickrecError):
        return error.status in _MAY_PASS
    lost = httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError
    return isinstance(error, lost) and not is_untrusted(error)


def is_untrusted(error: BaseException | None) -> bool:
    """Whether the connection failed because the server's certificate cannot be verified."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def retry_after_s(error: BaseException) -> float:
    """Return how long the API wants to be left alone."""
    return error.retry_after_s if isinstance(error, TickrecError) else 0


def _problem(answer: httpx.Response) -> Problem:
    """Return the problem of an answer, also of one that a proxy gave."""
    if answer.headers.get("Content-Type") == "application/problem+json":
        return msgspec.json.decode(answer.content, type=Problem)
    return Problem("about:blank", answer.reason_phrase, answer.text[:_SHOWN])
