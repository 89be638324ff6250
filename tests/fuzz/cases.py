"""The cases of the fuzz: seeded, pure, and independent of each other.

`case(seed, n)` is the n-th. Import it to send the same requests to something else: a `Case` of one
request is a plain request, however odd.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Final

from tests.fuzz import bodies, targets
from tests.fuzz.garbage import garbage
from tests.fuzz.headers import ETAGS, KEYS, ODD_HEADERS, TYPES
from tests.fuzz.request import CANARY, KEY, KNOWN, Case, Garbage, Headers, Request

METHODS: Final = (
    *(b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"POST", b"GET", b"PROPFIND"),
    *(b"PURGE", b"SEARCH", b"MKCOL", b"LINK", b"SUBSCRIBE", b"M-SEARCH", b"QUERY"),
)


def cases(seed: int, count: int) -> Iterator[Case | Garbage]:
    """Yield the first `count` cases of a seed."""
    return (case(seed, n) for n in range(count))


def case(seed: int, n: int) -> Case | Garbage:
    """Return the n-th case of a seed."""
    rng = Random(f"{seed}/{n}")
    kinds, weights = zip(*_KINDS, strict=True)
    return rng.choices(kinds, weights)[0](rng)  # type: ignore[no-any-return]


def _alone(kind: str, request: Request, rng: Random) -> Case:
    return Case(kind, (request,), rng.choice((1, 1, 1, 1, 2, 5)))


def _known(rng: Random) -> Case:
    return _alone("read", _reading(targets.known(rng), rng), rng)


def _odd_id(rng: Random) -> Case:
    return _alone("odd id", _reading(targets.odd_id(rng), rng), rng)


def _odd_query(rng: Random) -> Case:
    return _alone("odd query", _reading(targets.odd_query(rng), rng), rng)


def _odd_path(rng: Random) -> Case:
    return _alone("odd path", Request(targets.odd_path(rng)), rng)


def _absolute(rng: Random) -> Case:
    return _alone("absolute form", Request(targets.absolute(rng)), rng)


def _method(rng: Random) -> Case:
    target = rng.choice(
        (*targets.FIXED, *targets.WRITES, targets.known(rng), targets.odd_path(rng))
    )
    method = rng.choice(METHODS)
    body = b"" if method in {b"GET", b"HEAD", b"TRACE"} else rng.choice((b"", b"{}", CANARY))
    return _alone("method", Request(target, method, body=body), rng)


def _headers(rng: Random) -> Case:
    headers: Headers = ()
    for _ in range(rng.choice((1, 1, 2, 3))):
        headers += rng.choice(ODD_HEADERS)
    return _alone("headers", Request(targets.known(rng), headers=_once(headers)), rng)


def _conditional(rng: Random) -> Case:
    tags = tuple((b"If-None-Match", rng.choice(ETAGS)) for _ in range(rng.choice((1, 1, 2))))
    headers = (*tags, (b"X-API-Key", KEY))
    method = rng.choice((b"GET", b"GET", b"HEAD"))
    return _alone("conditional", Request(targets.known(rng), method, headers), rng)


def _write(rng: Random) -> Case:
    body = bodies.sound(rng) if rng.random() < 0.2 else bodies.odd(rng)
    return _alone("body", _writing(body, rng), rng)


def _large(rng: Random) -> Case:
    return Case("large body", (_writing(bodies.large(rng), rng),))


def _reading_body(rng: Random) -> Case:
    body = bodies.odd(rng)
    framed = bodies.parts(body, rng) if rng.random() < 0.5 else body
    return _alone("body of a read", Request(targets.known(rng), body=framed), rng)


def _old(rng: Random) -> Case:
    headers = rng.choice(((), ((b"Connection", b"keep-alive"),), ((b"Host", b""),)))
    return _alone("HTTP/1.0", Request(targets.odd_id(rng), b"GET", headers, b"", b"HTTP/1.0"), rng)


def _pipelined(rng: Random) -> Case:
    makers = (_known, _odd_id, _odd_query, _method, _headers, _conditional, _write, _reading_body)
    odd = [rng.choice(makers)(rng).requests[0] for _ in range(rng.choice((1, 2, 3, 8)))]
    mixed = [each for request in odd for each in rng.choice(((request,), (KNOWN, request)))]
    return Case("pipelined", (*mixed, KNOWN), rng.choice((1, 1, 3)))


def _hung_up(rng: Random) -> Case:
    return replace(_pipelined(rng), kind="hung up", hangs_up=True)


def _reading(target: bytes, rng: Random) -> Request:
    return Request(target, headers=rng.choice(KEYS))


def _writing(body: bytes, rng: Random) -> Request:
    headers: Headers = ((b"Content-Type", rng.choice((TYPES[0], TYPES[0], rng.choice(TYPES)))),)
    headers += rng.choice(KEYS)
    if rng.random() < 0.1:
        headers += ((b"Expect", rng.choice((b"100-continue", b"100-Continue", b"x", CANARY))),)
    framed = bodies.parts(body, rng) if rng.random() < 0.25 else body
    return Request(rng.choice(targets.WRITES), b"POST", headers, framed)


def _once(headers: Headers) -> Headers:
    """Return the headers without the later ones of a name: more than one Host is not valid HTTP."""
    return tuple({name.lower(): (name, value) for name, value in reversed(headers)}.values())


_KINDS: Final[tuple[tuple[Callable[[Random], Case | Garbage], float], ...]] = (
    (_known, 10),
    (_odd_id, 20),
    (_odd_query, 15),
    (_odd_path, 10),
    (_absolute, 2),
    (_method, 6),
    (_headers, 8),
    (_conditional, 5),
    (_write, 14),
    (_large, 0.3),
    (_reading_body, 2),
    (_old, 2),
    (_pipelined, 3),
    (_hung_up, 1),
    (garbage, 4),
)
