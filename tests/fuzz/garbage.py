"""Bytes that are not HTTP, or have no clear end: they get at most one answer. Pure."""

from random import Random
from typing import Final

from tests.fuzz.request import CANARY, KNOWN, Case

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
