"""Replies to reads, in the form that the framework's routes and the hot path share.

Clients that name CSV in `Accept` get it, made of the JSON reply off the event loop: reads and the
hot path know nothing of it.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final

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

_UNCHANGED: Final = (b"etag: ", b"cache-control: ", b"vary: ", b"content-security-policy: ")
"""The headers of a 304, with which a client updates its copy."""
_FIELDS: Final = b"content-length: %d\r\ncontent-type: " + JSON + b"\r\ncache-control: %b\r\n%b"
_LENGTH: Final = re.compile(rb"^content-length: .*\r\n", re.MULTILINE)
_ETAG: Final = re.compile(rb"^etag: (.*)\r\n", re.MULTILINE)

_encoder = msgspec.json.Encoder()


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer: status, headers in order, body."""

    status: int
    fields: bytes
    """the headers in the form in which they are sent"""
    body: bytes
    request_id: bytes = b""
    """instead of the request's own id; empty: that"""


def fields(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    r"""Return headers in the form in which they are sent.

    >>> fields([(b"vary", b"Origin"), (b"cache-control", NOW)])
    b'vary: Origin\r\ncache-control: public, max-age=1\r\n'
    """
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def encode(answer: Any) -> bytes:
    """Return the body of an answer: the same bytes on either path."""
    return _encoder.encode(answer)


def fields_in(lines: bytes) -> Headers:
    r"""Return the headers that `fields` made.

    >>> fields_in(b"vary: Origin\r\n")
    [(b'vary', b'Origin')]
    """
    return [_header(line) for line in lines.splitlines()]


def reply(answer: Any, cache_control: bytes, more: bytes = b"") -> Reply:
    """Return a success; its `ETag` is derived from the body, so equal answers have equal ones.

    Args:
        answer: the body.
        cache_control: who may cache it.
        more: further headers, in the form in which they are sent.
    """
    body = encode(answer)
    head = _FIELDS % (len(body), cache_control, more)
    if cache_control is not ONCE:
        head += b"etag: %b\r\n" % etag(body)
    return Reply(200, head, body)


def with_body(full: Reply, body: bytes) -> Reply:
    """Return a success with another body, and the headers that derive from it."""
    head = _LENGTH.sub(b"content-length: %d\r\n" % len(body), full.fields)
    if _ETAG.search(head):
        head = _ETAG.sub(b"etag: %b\r\n" % etag(body), head)
    return Reply(full.status, head, body)


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
    own = _ETAG.search(full.fields)
    if own is None or not _matches(if_none_match, own[1]):
        return full
    lines = full.fields.splitlines(keepends=True)
    return Reply(304, b"".join(line for line in lines if line.startswith(_UNCHANGED)), b"")


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
    found.raw_headers = fields_in(answer.fields)
    return found


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b": ")
    return name, value


def _matches(if_none_match: bytes, own: bytes) -> bool:
    tags = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return own in tags or tags == [b"*"]


_KEPT: Final = 256
"""Replies of up to some kilobytes each."""


class ReplyCache:
    """Caches replies until their inputs change."""

    def __init__(self) -> None:
        self._made_of: tuple[object, ...] = ()
        self._replies: dict[Hashable, Reply] = {}

    def of(self, made_of: tuple[object, ...], asked: Hashable, make: Callable[[], Reply]) -> Reply:
        """Return the reply to a request.

        Args:
            made_of: what all replies are made of; objects that are equal are the same.
            asked: the values of the request's parameters.
            make: makes the reply, if it is not kept.
        """
        if made_of != self._made_of or len(self._replies) >= _KEPT:
            self._made_of, self._replies = made_of, {}
        known = self._replies.get(asked)
        if known is None:
            known = self._replies[asked] = make()
        return known


ANSWER: Final = "Tickrec-Answer"
"""The header with what the rows have no place for, as JSON."""
MAX_HEADER_BYTES: Final = 4096
"""Of its value: a proxy takes a server whose headers exceed its limit, 8 kB in nginx, for dead."""
BY_ACCEPT: Final = b"vary: Accept\r\n"
"""A header of answers that CSV can be made of."""
CSV: Final = "text/csv"
_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
"""RFC 9110, section 12.4.2."""

ToCsv = Callable[[bytes], tuple[bytes, bytes]]
"""Returns the rows of a JSON answer, and its other members as JSON; runs in a thread."""


def names_csv(accept: Iterable[bytes]) -> bool:
    """Return whether the values of `Accept` may name CSV, so that a request is not hot."""
    return any(CSV.encode() in value.lower() for value in accept)


def prefers_csv(accept: Sequence[str]) -> bool:
    """Return whether a client prefers CSV to JSON. Only what it names counts, no `*`.

    Args:
        accept: the values of `Accept` (RFC 9110, section 12.5.1).
    """
    wanted = weights(",".join(accept))
    named, others = wanted.get(JSON.decode(), 0.0), wanted.get("application/*", wanted.get("*/*"))
    weight = wanted.get(CSV, 0.0)
    return weight > named and weight >= (others or 0.0)


async def csv_answer(answer: Reply, to_csv: ToCsv) -> Reply:
    """Return an answer as CSV."""
    body, rest = await asyncio.to_thread(to_csv, answer.body)
    own = {
        b"content-length": b"%d" % len(body),
        b"content-type": CSV.encode(),
        b"etag": etag(body + rest),
    }
    headers = [(name, own.get(name, value)) for name, value in fields_in(answer.fields)]
    headers.append((ANSWER.lower().encode(), rest))
    return msgspec.structs.replace(answer, fields=fields(headers), body=body)


def weights(accept: str) -> dict[str, float]:
    """Return the weight of each name in an `Accept` or `Accept-Encoding`; an invalid one is 0.

    >>> weights("text/csv;q=0.5, */*, text/plain;q=2")
    {'text/csv': 0.5, '*/*': 1.0, 'text/plain': 0.0}
    """
    found: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        found[name] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    return found
