"""Reads and decodes the bodies of requests: JSON only, of bounded size, within bounded time.

A page of any origin can make a browser post a form or a text to a server that only this browser can
reach, but not `application/json`: that needs a preflight request.

For writes, the key (`api.http.keys.access`), the quota and the headers of the body are checked
first, so that a rejection is cheap: none of the body is read for it. The quota is spent here rather
than in the routes, so that none of them can forget it.

Without keys, all writers share one quota. Addresses would not identify them: all clients behind a
load balancer have its address, and one sender may have many.

Unknown fields are rejected: a misspelled one would be silently ignored in favor of its default.
"""

import asyncio
from typing import Any, Final, TypeVar

import msgspec
from limits import RateLimitItem
from starlette.requests import ClientDisconnect, Request

from api.http.answer_headers import answer_fields
from api.http.keys.access import key_of
from api.http.problems import (
    INCOMPLETE_BODY,
    MALFORMED_JSON,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
    broken_rule,
)
from api.http.quotas import Quota
from contracts.reasons import violation

MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 4.0
"""For a whole body, however slowly it arrives: with the 5 s that Kafka may take, a request ends
within the 10 s for which a server that shuts down waits for it. 1 MiB then needs 2 Mbit/s."""
MAX_EVENTS: Final = 1000
"""Events per request of JSON."""

_JSON: Final = "application/json"
_ANYBODY: Final = ""

T = TypeVar("T")


class Writing:
    """Reads the bodies of write requests, and enforces the writers' quotas."""

    def __init__(self, limit: RateLimitItem) -> None:
        """Apply `limit` to writers without a limit of their own."""
        self._limit = limit
        self._quota = Quota("events")

    async def nothing_of(self, request: Request) -> bytes:
        """Return no body, of a request that makes one change, at the cost of one event.

        Raises:
            Problem: the quota is used up.
        """
        self._spend(request, 1)
        return b""

    async def body_of(self, request: Request) -> bytes:
        """Return the body of a request that makes one change, at the cost of one event.

        Raises:
            Problem: the quota is used up, or `api.http.bodies` rejects the body.
        """
        self._spend(request, 1)
        check_head(request)
        return await read_body(request)

    async def events_of(self, request: Request) -> bytes:
        """Return the body of a request, at the cost of its events: one is spent before it is read.

        Raises:
            Problem: the quota is used up, or `api.http.bodies` rejects the body.
        """
        body = await self.body_of(request)
        self._spend(request, _cost(body) - 1, before=1)
        return body

    def _spend(self, request: Request, events: int, before: int = 0) -> None:
        key = key_of(request)
        writer, limit = (key.name, key.limit) if key else (_ANYBODY, None)
        rate = self._quota.take(writer, limit or self._limit, events, before)
        answer_fields(request.scope).rate = rate


def media_type_of(request: Request) -> str:
    """Return the media type that a body is declared as, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_head(request: Request) -> None:
    """Check a body by its headers.

    Raises:
        Problem: it is not JSON, or larger than `MAX_BODY_BYTES`.
    """
    if media_type_of(request) != _JSON:
        given = request.headers.get("content-type", "")
        raise Problem(UNSUPPORTED_MEDIA_TYPE, f"Send `Content-Type: {_JSON}`, not {given!r:.100}")
    _check_size(int(request.headers.get("content-length", 0)))


async def read_body(request: Request) -> bytes:
    """Return the whole body of a request.

    Raises:
        Problem: it is larger than `MAX_BODY_BYTES`, or does not arrive within `BODY_TIMEOUT_S`.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                _check_size(len(body))  # a chunked body does not declare its size
            return bytes(body)
    except TimeoutError:
        detail = f"{BODY_TIMEOUT_S:g} s are allowed for a whole body: send fewer events at a time"
        raise Problem(INCOMPLETE_BODY, detail) from None
    except ClientDisconnect:  # nobody reads the answer, but it is counted
        raise Problem(INCOMPLETE_BODY, "The client disconnected before the body's end") from None


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        detail = f"At most {MAX_BODY_BYTES} bytes are accepted: send the events in parts"
        raise Problem(TOO_LARGE, detail)


def _cost(body: bytes) -> int:
    """Return the cost of a body, 1 to `MAX_EVENTS`, before anything is decoded.

    Each event is an object, so there are at most as many as opening braces. Each KiB counts as at
    least one: rejecting a large invalid body takes time, too.

    >>> _cost(b'[{"type": "quote"}, {"type": "quote"}]'), _cost(b"[]"), _cost(b" " * 9999)
    (2, 1, 9)
    """
    return max(1, min(MAX_EVENTS, max(body.count(b"{"), len(body) // 1024)))


def strict_decoder(kind: type[T], tag: str | None = None) -> msgspec.json.Decoder[T]:
    """Return a decoder of a struct that rejects unknown fields.

    Args:
        kind: a struct, which other readers may decode leniently.
        tag: the value of an additional field `type`; None: there is no such field.
    """
    tagged: dict[str, Any] = {} if tag is None else {"tag_field": "type", "tag": tag}
    strict = msgspec.defstruct(
        kind.__name__, [], bases=(kind,), forbid_unknown_fields=True, frozen=True, **tagged
    )
    return msgspec.json.Decoder(strict)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return the decoded body.

    Raises:
        Problem: it is not JSON, or not valid for the decoder's type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        field, rule = violation(error, body, decoder.type)
        raise broken_rule(field or "body", rule) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(MALFORMED_JSON, str(error)) from error
