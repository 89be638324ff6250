"""Targets of requests: the API's routes with all kinds of ids and queries, and unknown paths.

The routes and their parameters are those of its OpenAPI document. Pure: the same generator of
random numbers gives the same targets.
"""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final
from urllib.parse import quote

from api.app import create_app
from api.settings import ApiSettings
from tests.described import Operation, operations, text_of
from tests.fuzz.request import CANARY

OPERATIONS: Final = tuple(operations(create_app(ApiSettings()).openapi()))
READS: Final = [each for each in OPERATIONS if each.method == "GET" and each.in_path]
WRITES: Final = [each.path.encode() for each in OPERATIONS if each.method == "POST"]
STREAM: Final = b"/v1/stream/bars?instruments="
FIXED: Final = (
    *(
        each.target(query, {}).encode()
        for each in OPERATIONS
        if each.method == "GET" and not each.in_path
        for query in (each.needed, [name for name, shown in each.in_query.items() if shown])
    ),
    b"/openapi.json",
    b"/docs",
)
KNOWN_IDS: Final = (b"4", b"5", b"007", b"ABC", b"Zo%C3%AB", b"a%2Fb", b"a%0Ab", b"%F0%9F%90%B1")
ODD_IDS: Final = (
    *(b"", b"0", b"-1", b"+4", b"4.0", b"1e3", b"0x10", b"1_0", b"%34", b"%204", b"4%20"),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"9" * 19),
    *(b"9" * 20, b"9" * 400, b"9" * 5000, b"0" * 30 + b"4", b"NaN", b"inf", b"null", b"true"),
    *(b"%D9%A4", b"%EF%BC%94", b"%C2%B2", b"%E0%A5%AA"),  # digits of other scripts
    *(b"%F0%9F%98%80", b"%F0%9F%98%80" * 32, b"%F0%9F%98%80" * 33, b"%C3%A9" * 64, b"%C3%A9" * 65),
    *(b"x" * 128, b"x" * 129, b"x" * 9000, b"%E2%80%AE", b"e%CC%81", b"%EF%BB%BF4", b"%E2%80%8B4"),
    *(b"%2F", b"%2F%2F", b"%2f4", b"4%2F", b"%252F", b"%25252F", b"%5C", b"..%5C..%5C", b"..%2F"),
    *(b".", b"..", b"%2e", b"%2e%2e", b"../4", b"./4", b"x/../4", b"../../../../etc/passwd"),
    *(b"%00", b"4%00", b"a%00b", b"%0D%0AX-" + CANARY + b":%201", b"%0A", b"%09", b"%7F", b"%1B"),
    *(b"%", b"%%", b"%4", b"%zz", b"%u0034", b"%25", b"4%", b"%FF", b"%C3%28", b"%ED%A0%80"),
    *(b"%F4%90%80%80", b"%C0%AF", b"*", b"4*", b"4;v=1", b"4,5", b"a:b", b"{id}", b"$where", b"~"),
    *(b"'%20OR%20'1'='1", b"%3Cscript%3E", b"live:model:current", b"%7B0%7D", b"%n%s", b"4%3Fa=1"),
    *(b"4%23a", b"similar", b"history", b"recommendations", b"similar/4", b"a/b/c", b"4/", b"/4"),
)
ODD_VALUES: Final = (
    *(b"", b"0", b"1", b"-1", b"5", b"1000", b"1001", b"200", b"201", b"100", b"101", b"%2B5"),
    *(b"5.0", b"5.5", b"1e2", b"1e400", b"nan", b"NaN", b"inf", b"-inf", b"0x5", b"1_0", b"%205"),
    *(b"9" * 30, b"9" * 5000, b"%D9%A5", b"true", b"false", b"on", b"TRUE", b"null", b"None"),
    *(b"none", b"previous", b"1m", b"5m", b"4h"),
    *(
        b"desc",
        b"Asia/Kolkata",
        b"7m",
        b"10080m",
        b"10081m",
        b"0m",
        b"05m",
        b"1M",
        b"1d",
        b"1w",
        b"60",
        b"[1]",
        b"{}",
    ),
    *(b"4,7", b",", b",,4,,", b"4,x", b"4,-1", b"4%2C7", b"4,%207", b",".join([b"4"] * 1001)),
    *(b"currency:eq:USD", b"currency:eq:USD:2", b"currency:in:USD,,EUR", b"currency::USD", b":eq:"),
    *(
        b"lot:ge:40",
        b"lot:ge:40:0.5",
        b"lot:lt:x",
        b"lot:eq:1e400",
        b"lot:ne:%FF",
        b"halted:lt:true",
    ),
    *(b"halted:ne:true:1e2", b"lot:eq:4:0", b"lot:eq:4:nan", b"none:eq:1", b"a:eq:" + b"x" * 600),
    *(b"%00", b"%"),
    *(b"%zz", b"%FF", b"%F0%9F%98%80", b"1629061680000", b"253402300799999", b"253402300800000"),
    *(b"2021-08-15T21:08:00Z", b"2021-08-15T21:08:00%2B02:00", b"2021-08-15T21:08:00+02:00"),
    *(b"2021-08-15", b"2021-02-30T00:00:00Z", b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59Z"),
    *(b"9999-12-31T23:59:59-23:59", b"1970-01-01T00:00:00+23:59", b"2016-12-31T23:59:60Z", b"-0"),
    *(b"2021-W01-1T00:00:00Z", b"now", b"a=b", b"a%26limit=1", CANARY, b"%0D%0A" + CANARY),
)
ODD_PARAMETERS: Final = (
    *sorted({name.encode() for each in OPERATIONS for name in each.in_query}),
    *(b"LIMIT", b"limit%00", b"n[]", b"", b"unknown", b"%6E", CANARY),
)
STRUCTURES: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda path: b"/" + path,
    lambda path: b"//" + path,
    lambda path: path + b"/",
    lambda path: path + b"//",
    lambda path: path.replace(b"/", b"//"),
    lambda path: b"/." + path,
    lambda path: b"/x/.." + path,
    lambda path: b"/.." + path,
    lambda path: b"/%2e%2e" + path,
    lambda path: b"/%2F" + path,
    lambda path: b"/" + path[1:].replace(b"/", b"%2F", 2),
    lambda path: b"/" + path[1:].replace(b"/", b"\\"),
    lambda path: path.upper(),
    lambda path: path + b"%00",
    lambda path: path + b";a=" + CANARY,
    lambda path: path + b".json",
    lambda path: path + b"?",
    lambda path: path + b"??a=1",
    lambda path: path + b"?a#b",
    lambda path: path + b"#" + CANARY,
    lambda path: path.rsplit(b"/", 1)[0] + b"/",
    lambda path: path + b"/" + CANARY * 900,
    lambda path: path + b"/x" * 4000,
)
NOWHERE: Final = (
    *(b"/", b"*", b"//", b"///", b"/.", b"/..", b"/%2F", b"/%", b"/%00", b"/v1", b"/v1/", b"/v2/x"),
    *(b"/v1/instrument", b"/v1/users/", b"/health", b"/favicon.ico", b"/robots.txt", b"/.env"),
    *(b"/docs/oauth2-redirect", b"/redoc", b"/docs/", b"/openapi.yaml", b"/metrics/", b"/add"),
    *(b"/instruments/", b"/instruments//", b"/instruments/similar", b"/add/request/" + CANARY),
)


def known(rng: Random) -> bytes:
    """Return the target of a valid read."""
    operation = rng.choice(READS)
    path = _path(operation, rng.choice(KNOWN_IDS))
    shown = [(name, values) for name, values in operation.in_query.items() if values]
    pairs = [_sound_pair(rng, *rng.choice(shown)) for _ in range(rng.randrange(3)) if shown]
    return path + b"?" + b"&".join(pairs) if pairs else path


def odd_id(rng: Random) -> bytes:
    """Return the target of a read of an odd id."""
    of = rng.choice(ODD_IDS) if rng.random() < 0.7 else _any_id(rng)
    return _path(rng.choice(READS), of)


def odd_query(rng: Random) -> bytes:
    """Return the target of a read with an odd query."""
    pairs = [_pair(rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 40)))]
    joined = rng.choice((b"&", b"&", b"&", b"&&", b";")).join(pairs)
    if rng.random() < 0.05:
        return STREAM + rng.choice(ODD_VALUES) + b"&" + joined
    return _path(rng.choice(READS), rng.choice(KNOWN_IDS)) + b"?" + joined


def odd_path(rng: Random) -> bytes:
    """Return a target of an odd structure."""
    read = _path(rng.choice(READS), rng.choice(KNOWN_IDS))
    path = rng.choice((*FIXED, b"/v1/events", read))
    if rng.random() < 0.2:
        return rng.choice(NOWHERE)
    return rng.choice(STRUCTURES)(path)


def absolute(rng: Random) -> bytes:
    """Return a target in the form that proxies are sent."""
    authority = rng.choice((b"tickrec.test", b"other.test:81", b"u:p@h", b"[::1]:80", CANARY))
    return rng.choice((b"http://", b"https://", b"HTTP://")) + authority + known(rng)


def _path(operation: Operation, of: bytes) -> bytes:
    """Return an operation's path, of an id as it is."""
    return re.sub(rb"\{\w+\}", lambda _: of, operation.path.encode())


def _sound_pair(rng: Random, name: str, values: Sequence[Any]) -> bytes:
    return f"{name}={text_of(rng.choice(values))}".encode()


def _pair(rng: Random) -> bytes:
    name = rng.choice(ODD_PARAMETERS)
    return name + rng.choice((b"=", b"=", b"=", b"", b"==")) + rng.choice(ODD_VALUES)


def _any_id(rng: Random) -> bytes:
    """Return digits, characters or bytes at random, the latter two percent-encoded."""
    size = rng.choice((1, 2, 5, 20, 70, 140))
    kind = rng.randrange(3)
    if kind == 0:
        return b"".join(rng.choice((b"0", b"9", b"%d" % rng.randrange(10))) for _ in range(size))
    if kind == 1:
        points = (rng.randrange(0x110000) for _ in range(size))
        text = "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
        return quote(text, safe="").encode()
    return quote(rng.randbytes(size), safe="").encode()
