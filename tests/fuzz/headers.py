"""Headers of requests, sound and odd, each of which is still HTTP. Pure."""

from typing import Final

from tests.fuzz.request import CANARY, KEY, Headers

TYPES: Final = (
    *(b"application/json", b"application/json; charset=utf-16", b"text/plain", b"", b"json", b"/"),
    *(b"application/x-www-form-urlencoded", b"multipart/form-data", b"application/xml", b"*/*"),
    *(b"text/csv", b"application/x-ndjson"),
    *(b"application/json, text/html", b"application/vnd.api+json", b"\xff\xfe", CANARY),
)
ETAGS: Final = (
    *(b"*", b'"x"', b'W/"x"', b"x", b"", b'""', b'"', b"W/", b'"a", "b", W/"c"', b"* , *", b",,,"),
    *(b'"' + CANARY + b'"', b'"\xff"', b'"' + b"x" * 9000 + b'"', b",".join([b'"x"'] * 2000)),
)
_VALUES: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"Accept": (
        *(b"", b"*/*", b"text/html", b"x", b"*;q=0", b",,", CANARY, b"text/csv, */*;q=0.1"),
        *(b"text/csv;q=0.5, application/json;q=0.4",),
    ),
    b"Accept-Encoding": (b"gzip, br", b"identity;q=0", b"*;q=0", CANARY),
    b"Range": (b"bytes=0-0", b"bytes=5-1", b"bytes=-1", b"items=0-", CANARY),
    b"Host": (
        *(b"", b"[", b"]", b"a b", b"x/y?z#", b"::", b"\xff", b"a:99999", b"[::1]:80", b"u:p@h"),
        *(b"h:x", CANARY, b"x" * 3000),
    ),
    b"Connection": (b"close", b"keep-alive", b"x", b"close, keep-alive", CANARY),
    b"If-Modified-Since": (b"", b"yesterday", b"Thu, 01 Jan 1970 00:00:00 GMT"),
    b"X-Long": (b"x" * 60_000,),
    b"X" * 5000: (CANARY,),
    b"Content-Length": (b"0", b"000"),
}
_SETS: Final[tuple[Headers, ...]] = (
    ((b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AA")),
    ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Key", b"x")),
    ((b"X-Forwarded-For", CANARY), (b"X-Forwarded-Proto", b"x"), (b"Forwarded", b"for=" + CANARY)),
    ((b"X-HTTP-Method-Override", b"DELETE"), (b"X-Original-URL", b"/" + CANARY)),
    ((b"Cookie", (CANARY + b"=1; ") * 300), (b"Origin", b"http://" + CANARY)),
    ((b"Origin", b"null"), (b"Access-Control-Request-Method", b"PUT")),
    ((b"X-Request-ID", CANARY), (b"Traceparent", CANARY), (b"X-Correlation-ID", b"x" * 3000)),
    ((b"X-Bytes", bytes(range(0x80, 0x100))), (b"X-Empty", b""), (b"X-Tab", b"\ta\tb\t")),
    (
        (b"If-Match", b"*"),
        (b"If-Unmodified-Since", b"0"),
        (b"Date", b"never"),
        (b"TE", b"trailers"),
    ),
    tuple((b"X-%d" % n, b"x") for n in range(500)),
)
ODD_HEADERS: Final[tuple[Headers, ...]] = (
    *(((name, value),) for name, values in _VALUES.items() for value in values),
    *_SETS,
)
KEYS: Final[tuple[Headers, ...]] = (
    *(((b"X-API-Key", KEY),),) * 12,
    ((b"Authorization", b"Bearer " + KEY),),
    ((b"authorization", b"bearer  " + KEY),),
    *((), ((b"X-API-Key", b""),), ((b"X-API-Key", KEY + b"x"),), ((b"X-API-Key", b"\xff\xc3"),)),
    *(((b"Authorization", value),) for value in (b"Basic " + CANARY, b"Bearer", b"\xff", CANARY)),
    ((b"X-API-Key", b"x" * 60_000),),
)
