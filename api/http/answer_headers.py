"""The headers that every answer has: security headers, its request's id, and its quota.

The id, `X-Request-Id`, is in the answer, and in its problem, log lines and span.

A valid id of the client's, or of a proxy's, is adopted; otherwise one is made of a random prefix of
the process and a number, which costs a hot request almost nothing. (The `request_id` of
recommendations, `api.generations.request_ids`, is something else: it proves what was recommended.
In the first version's form, which has no field for it, it is the id of the request, too.)
"""

import itertools
import re
import secrets
from collections.abc import Callable, Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.reply import fields_in
from runtime.logs import REQUEST_ID
from runtime.tracing import OFF, Tracing

NAME: Final = "X-Request-Id"
HEADER: Final = NAME.lower().encode()
MAX_CHARACTERS: Final = 128
SPAN_ATTRIBUTE: Final = "http.request.id"

STARTS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)
"""The messages that have an answer's headers: the last one refuses a WebSocket."""

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # An answer is data: if a browser renders it as a page, it may load, run and frame nothing.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_VALID: Final = re.compile(rb"[A-Za-z0-9._:=+/@-]{1,%d}" % MAX_CHARACTERS)
"""UUIDs, ULIDs, `$request_id` of nginx, `Root=1-67891233-abcdef` of AWS, base64; nothing that would
need quotes in a header, JSON or a log."""
_OWN: Final = secrets.token_hex(6).encode() + b"-%08x"
_next: Final[Callable[[], int]] = itertools.count(1).__next__
_IN_SCOPE: Final = "tickrec.answer"


def new_id() -> bytes:
    """Return an id that no other request has."""
    return _OWN % _next()


def given_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the id that a request has, empty if it is invalid, None if it has none.

    >>> given_id([(b"x-request-id", b"8e03978e-40d5")]), given_id([(b"x-request-id", b"a b")])
    (b'8e03978e-40d5', b'')
    """
    given = dict(headers).get(HEADER)
    if given is None:
        return None
    return given if _VALID.fullmatch(given) else b""


class AnswerFields:
    """What is added to the answer of one request, whatever makes it."""

    __slots__ = ("rate", "request_id")

    def __init__(self, request_id: bytes) -> None:
        self.request_id = request_id
        self.rate = b""
        """the fields of a quota, see `api.http.quotas`"""


def answer_fields(scope: Scope) -> AnswerFields:
    """Return what is added to the answer of a request."""
    found: AnswerFields | None = scope.get(_IN_SCOPE)
    if found is None:  # outside of `AnswerHeaders`
        found = scope[_IN_SCOPE] = AnswerFields(new_id())
    return found


class AnswerHeaders:
    """Adds the headers of every answer to those of `app`, unless it sets them itself."""

    def __init__(self, app: ASGIApp, tracing: Tracing = OFF) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and complete its answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        added = scope[_IN_SCOPE] = AnswerFields(given_id(scope["headers"]) or new_id())
        request_id = added.request_id.decode()

        async def completing(message: Message) -> None:
            if message["type"] in STARTS:
                message = {**message, "headers": _completed(message, added)}
            await send(message)

        self._tracing.note({SPAN_ATTRIBUTE: request_id})
        token = REQUEST_ID.set(request_id)
        try:
            await self._app(scope, receive, completing)
        finally:
            REQUEST_ID.reset(token)


def _completed(message: Message, added: AnswerFields) -> list[tuple[bytes, bytes]]:
    given = list(message.get("headers", ()))
    has = {name.lower() for name, _ in given}
    own = [*SECURITY_HEADERS, *fields_in(added.rate), (HEADER, added.request_id)]
    return given + [pair for pair in own if pair[0] not in has]
