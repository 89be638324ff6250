"""Answers to reads, in the form that the ordinary routes and the hot path share."""

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from starlette.responses import Response

Headers = list[tuple[bytes, bytes]]

JSON: Final = b"application/json"

NOW: Final = b"public, max-age=1"
"""For answers that change every second: bars."""
LISTS: Final = b"public, max-age=10"
"""For answers that change with the generation: lists of items. A shared cache may lag by that."""
OWN: Final = b"private, no-cache"
"""For answers about one user: stored by that user's client only, and revalidated."""
ONCE: Final = b"no-store"
"""For answers made for a single request."""

_UNCHANGED: Final = (b"etag", b"cache-control", b"vary", b"content-security-policy")
"""The headers of a 304, with which a client updates its copy."""

_encoder = msgspec.json.Encoder()


class Reply(NamedTuple):
    """An answer: status, headers in order, body."""

    status: int
    headers: Headers
    body: bytes


def encode(answer: Any) -> bytes:
    """Return the body of an answer: the same bytes on either path."""
    return _encoder.encode(answer)


def reply(answer: Any, cache_control: bytes) -> Reply:
    """Return a success; its `ETag` is derived from the body, so equal answers have equal ones."""
    body = encode(answer)
    headers = [
        (b"content-length", b"%d" % len(body)),
        (b"content-type", JSON),
        (b"cache-control", cache_control),
    ]
    if cache_control is not ONCE:
        headers.append((b"etag", etag(body)))
    return Reply(200, headers, body)


def etag(body: bytes) -> bytes:
    """Return a strong entity tag for a body.

    >>> etag(b"{}")
    b'"01e7b720ff566d53"'
    """
    return b'"%s"' % hashlib.blake2b(body, digest_size=8).hexdigest().encode()


def conditional(full: Reply, if_none_match: bytes | None) -> Reply:
    """Return `full`, or 304 without a body if the client has it: RFC 9110, section 13.1.2.

    Tags are compared weakly, as the RFC requires: nginx makes them weak when it compresses.
    """
    if if_none_match is None or full.status != 200:
        return full
    own = next((value for name, value in full.headers if name == b"etag"), None)
    if own is None or not _matches(if_none_match, own):
        return full
    kept = [header for header in full.headers if header[0] in _UNCHANGED]
    return Reply(304, kept, b"")


def joined(values: Iterable[bytes]) -> bytes | None:
    """Return the combined value of a header that may be repeated, None if it is absent."""
    return b", ".join(values) or None


def respond(answer: Any, status: int = 200) -> Response:
    """Return the response to a request that is not a read: it is not cached."""
    headers = {"Cache-Control": ONCE.decode()}
    return Response(encode(answer), status, headers, JSON.decode())


def response(answer: Reply) -> Response:
    """Return the answer as a response of the framework."""
    found = Response(answer.body, answer.status)
    found.raw_headers = list(answer.headers)
    return found


def _matches(if_none_match: bytes, own: bytes) -> bool:
    tags = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return own in tags or tags == [b"*"]
