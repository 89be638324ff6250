"""The cases of the fuzz: seeded and pure.

Values of valid JSON and of single parameters are schemathesis's; here is what it cannot send.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import chain
from random import Random
from typing import Final

from tests.fuzz import targets
from tests.fuzz.request import CANARY, KEY, KNOWN, Case, Headers, Request

METHODS: Final = b"HEAD OPTIONS PUT DELETE PATCH TRACE POST GET PROPFIND PURGE M-SEARCH".split()
TYPES: Final = (
    *(b"application/json", b"application/json", b"application/json; charset=utf-16", b"", b"/"),
    *(b"multipart/form-data", b"text/csv", b"application/x-ndjson", b"\xff\xfe", CANARY),
)
_VALUES: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"If-None-Match": (
        *(b"*", b'"x"', b'W/"x"', b"x", b"", b'"', b"W/", b'"a", "b", W/"c"', b"* , *", b",,,"),
        *(b'"' + CANARY + b'"', b'"\xff"', b'"' + b"x" * 9000 + b'"', b",".join([b'"x"'] * 2000)),
    ),
    b"Accept": (b"", b"*/*", b"x", b"*;q=0", b",,", CANARY, b"text/csv;q=0.5, */*;q=0.4"),
    b"Range": (b"bytes=0-0", b"bytes=5-1", b"items=0-", CANARY),
    b"Host": (*b"[ ] x/y?z# :: \xff a:99999 [::1]:80 u:p@h h:x".split(), b"", b"a b", CANARY),
    b"Connection": (b"close", b"x", b"close, keep-alive", CANARY),
    b"Last-Event-ID": (*b"0 1629061628123.29.0 1.-1 \xb2 .".split(), b"0" + b".f" * 500, CANARY),
    b"X" * 5000: (CANARY,),
    b"Content-Length": (b"0", b"000"),
    b"Expect": (b"100-continue", b"x", CANARY),
}
ODD_HEADERS: Final[tuple[Headers, ...]] = (
    *(((name, value),) for name, values in _VALUES.items() for value in values),
    ((b"If-None-Match", b"x"), (b"If-None-Match", b"*")),
    ((b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AA")),
    ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Key", b"x")),
    ((b"X-Forwarded-For", CANARY), (b"X-Forwarded-Proto", b"x"), (b"Forwarded", b"for=" + CANARY)),
    ((b"X-HTTP-Method-Override", b"DELETE"), (b"X-Original-URL", b"/" + CANARY)),
    ((b"Cookie", (CANARY + b"=1; ") * 300), (b"Origin", b"http://" + CANARY)),
    ((b"Origin", b"null"), (b"Access-Control-Request-Method", b"PUT")),
    ((b"X-Request-ID", CANARY), (b"Traceparent", CANARY), (b"Accept-Encoding", b"identity;q=0")),
    ((b"X-Bytes", bytes(range(0x80, 0x100))), (b"X-Empty", b""), (b"X-Tab", b"\ta\tb\t")),
    tuple((b"X-%d" % n, b"x") for n in range(500)),
)
KEYS: Final[tuple[Headers, ...]] = (
    *(((b"X-API-Key", KEY),),) * 12,
    *((), *(((b"X-API-Key", key),) for key in (b"", KEY + b"x", b"\xff\xc3", b"x" * 40_000))),
    *(((b"Authorization", s + KEY),) for s in (b"Bearer ", b"bearer  ", b"Basic ", b"\xff")),
)
SOUND: Final = [
    json.dumps(body).replace('"ABC"', json.dumps(CANARY.decode())).encode()
    for each in targets.OPERATIONS
    for body in each.bodies
]
"""The examples of all bodies, of a user who must not appear anywhere."""
_TOKEN: Final = re.compile(rb'"[^"]*"|-?\d[\d.]*')
ODD_TOKENS: Final = (
    *rb"""NaN -Infinity 1e999 -0 0x1 01 1. "\ud800" "\u0000" "\x" 'x' [4] {} {"a":1} 4.0 null true
    9223372036854775808""".split(),
    *(b"1" * 5000, b'"\xff"', b'"' + b"x" * 900_000 + b'"', b"[" * 999 + b"]" * 999),
)
_LIMIT_BYTES: Final = 1024 * 1024
RAW: Final = (
    *b'{ } [ ] {} [] [[]] [{}] [1,] {"a":} null 0 a=1&b=2 /*c*/[] <a/> {}{}'.split() * 4,
    *(b"", b" ", b"\xff", b"\xef\xbb\xbf{}", b"\xfe\xff\x00{\x00}", b"\x00", CANARY) * 4,
    *(b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"1," * 400_000 + b"1]"),
    *(b" " * (_LIMIT_BYTES + over) + b"[]" for over in (-2, -1)),
    b"[" + b",".join([b"{}"] * 1001) + b"]",
)


# Bytes that are not HTTP, or have no clear end.
_GET: Final = b"GET /instruments/4 HTTP/1.1\r\n"
_POST: Final = b"POST /v1/events HTTP/1.1\r\nHost: a\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_HIDDEN: Final = b"GET /v1/users/" + CANARY + b"/history HTTP/1.1\r\nHost: a\r\n\r\n"
"""A request that a proxy in front may treat as part of the preceding body."""
REQUEST_LINES: Final = (
    *(b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/9.9", b"GET / HTTQ/1.1", b"get / x"),
    *(b"GET /a b HTTP/1.1", b"BREW /pot HTTP/1.1", b"get / HTTP/1.1", b"G\x00T / HTTP/1.1"),
    *(b"GET /\x00 HTTP/1.1", b"GET /\r / HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1", b"A" * 5000),
    *(b"GET /a?\xff HTTP/1.1", b"GET http:// HTTP/1.1", b"GET http://h:x/ HTTP/1.1", b"\t"),
    *(b"CONNECT a:80 HTTP/1.1", b"GET instruments/4 HTTP/1.1", b"GET \\ HTTP/1.1"),
)
HEADERS: Final = (
    *(b": x", b"a b: c", b"a : b", b"\x00: x", b"x", b"a: b\r\n c", b"a: \x00", b"a: b\rc: d"),
    *(b"(a): b", b"Content-Length: -1", b"Content-Length: 1\r\nContent-Length: 2", b"Host\xff: a"),
)
LENGTHS: Final = (b"-1", b"+2", b"2x", b"", b"9" * 30, b"0x2", b"2,2", b"2 2", b"\xb2", b"1\r\n 2")
CODINGS: Final = (b"xchunked", b"chunked, gzip", b"gzip", b"identity", b"", b"\x0bchunked")
CHUNK_SIZES: Final = (b"x", b"-2", b"0x2", b"1", b"f" * 17, b"2\n", b" 2", b"", b"2;a=\n2")
NO_HTTP: Final = (
    *(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(b"SSH-2.0-x\r\n", b"*1\r\n$4\r\nPING\r\n", b"\x00" * 64, b"\xff" * 64, b"{}\r\n\r\n"),
    *(line + b"\r\nHost: a\r\n\r\n" for line in REQUEST_LINES),
    *(_GET + header + b"\r\n\r\n" for header in HEADERS),
    *(_POST + b"Content-Length: " + length + b"\r\n\r\n{}" for length in LENGTHS),
    _POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    _POST + b"Content-Length: 0\r\n" + _CHUNKED + b"\r\n0\r\n\r\n" + _HIDDEN,
    _POST + _CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + _HIDDEN,
    *(_POST + b"Transfer-Encoding: " + c + b"\r\n\r\n0\r\n\r\n" + _HIDDEN for c in CODINGS),
    *(_POST + _CHUNKED + b"\r\n" + size + b"\r\n{}\r\n0\r\n\r\n" + _HIDDEN for size in CHUNK_SIZES),
    *(b"G", b"GET", _GET, _GET + b"Host: a", _POST + b"Content-Length: 99\r\n\r\n{}"),  # cut off
    _POST + _CHUNKED + b"\r\n5\r\n{}",
)


def cases(seed: int, count: int) -> Iterator[Case]:
    """Yield the first `count` cases of a seed."""
    rng = Random(seed)
    for make in rng.choices([*_KINDS], [*_KINDS.values()], k=count):
        made = make(rng)
        pieces = rng.choice((1, 1, 1, 1, 2, 5))
        yield made if isinstance(made, Case) else Case(make.__name__, (made,), pieces)


def read(rng: Random) -> Request:
    """Return a GET of any target, with any key."""
    kinds = (targets.known, targets.odd_id, targets.odd_id, targets.odd_query, targets.odd_path)
    version = rng.choice((b"HTTP/1.0", *(b"HTTP/1.1",) * 20))
    return Request(rng.choice(kinds)(rng), headers=rng.choice(KEYS), version=version)


def method(rng: Random) -> Request:
    """Return a request of any method."""
    paths = (*targets.FIXED, *targets.WRITES, targets.known(rng), targets.odd_path(rng))
    method = rng.choice(METHODS)
    body = b"" if method in {b"GET", b"HEAD", b"TRACE"} else rng.choice((b"", b"{}", CANARY))
    return Request(rng.choice(paths), method, body=body)


def headers(rng: Random) -> Request:
    """Return a read with odd headers, none of which stands in two of their sets."""
    sets = {given[0][0]: given for given in rng.choices(ODD_HEADERS, k=rng.choice((1, 1, 3)))}
    headers = (*chain.from_iterable(sets.values()), (b"X-API-Key", KEY))
    return Request(targets.known(rng), rng.choice((b"GET", b"GET", b"HEAD")), headers)


def body(rng: Random) -> Request:
    """Return a write, or at times a read, with a body of any kind, often in chunks."""
    sound = rng.choice(SOUND)
    begin, end = rng.choice([found.span() for found in _TOKEN.finditer(sound)])
    changed = sound[:begin] + rng.choice((*ODD_TOKENS, b"", rng.randbytes(1))) + sound[end:]
    noise = rng.randbytes(rng.choice((1, 60, 2000)))
    body = rng.choice((sound, sound[:begin], changed, changed, changed, rng.choice(RAW), noise))
    size = max(1, len(body) // rng.choice((1, 2, 7)))
    parts = tuple(body[at : at + size] for at in range(0, len(body), size))
    headers = ((b"Content-Type", rng.choice(TYPES)), *rng.choice(KEYS))
    framed = parts if rng.random() < 0.25 else body
    if rng.random() < 0.1:
        return Request(targets.known(rng), b"GET", headers, framed)
    return Request(rng.choice(targets.WRITES), b"POST", headers, framed)


def pipelined(rng: Random) -> Case:
    """Return requests that go out at once, some with a known one before them."""
    odd = [rng.choice((read, read, method, headers, body))(rng) for _ in range(rng.randint(1, 8))]
    mixed = [each for request in odd for each in rng.choice(((request,), (KNOWN, request)))]
    # The server closes after an answer to HTTP/1.0 or `Connection: close`: a later piece would
    # reset the connection, and the answer could be lost.
    is_closed = any(
        request.version == b"HTTP/1.0" or any(value[:5] == b"close" for _, value in request.headers)
        for request in mixed
    )
    pieces = 1 if is_closed else rng.choice((1, 1, 3))
    return Case("pipelined", (*mixed, KNOWN), pieces, hangs_up=rng.random() < 0.25)


def garbage(rng: Random) -> Case:
    """Return bytes that are not HTTP: alone or after a request, well known or random."""
    kind = rng.randrange(5)
    if kind < 2:
        return Case("not HTTP", (), garbage=rng.choice(NO_HTTP))
    if kind == 2:
        return Case("random", (), garbage=rng.randbytes(rng.choice((1, 16, 300, 5000))))
    if kind == 3:
        return Case("after a request", (KNOWN,), garbage=rng.choice(REQUEST_LINES) + b"\r\n\r\n")
    broken = bytearray(_GET + b"Host: a\r\nAccept: */*\r\n\r\n")
    for _ in range(rng.choice((1, 2, 8))):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    return Case("broken bytes", (), garbage=bytes(broken))


_KINDS: Final[dict[Callable[[Random], Case | Request], float]] = {
    read: 60,
    method: 6,
    headers: 14,
    body: 16,
    pipelined: 4,
    garbage: 4,
}
