"""Targets of requests: the API's routes with all kinds of ids and queries, and unknown paths.

The routes and their parameters are those of its OpenAPI document. Pure: the same generator of
random numbers gives the same targets.
"""

import re
from random import Random
from typing import Final
from urllib.parse import quote

from api.app import create_app
from api.settings import ApiSettings
from tests.described import Operation, operations, text_of
from tests.fuzz.request import CANARY

OPERATIONS: Final = tuple(operations(create_app(ApiSettings()).openapi()))
READS: Final = [each for each in OPERATIONS if each.method == "GET" and each.in_path]
WRITES: Final = [each.path.encode() for each in OPERATIONS if each.method == "POST"]
FIXED: Final = (
    *(
        each.target(query, {}).encode()
        for each in OPERATIONS
        if each.method == "GET" and not each.in_path
        for query in (each.needed, [name for name, shown in each.in_query.items() if shown])
    ),
    *(b"/openapi.json", b"/docs"),
)
KNOWN_IDS: Final = b"4 5 007 ABC Zo%C3%AB a%2Fb a%0Ab %F0%9F%90%B1".split()
ODD_IDS: Final = (
    *b"""0 -1 +4 4.0 1e3 0x10 1_0 %34 %204 4%20 NaN null 9223372036854775807 9223372036854775808
    -9223372036854775809 %D9%A4 %EF%BC%94 %C2%B2 %E2%80%AE e%CC%81 %EF%BB%BF4 %E2%80%8B4
    %2F %2F%2F 4%2F %252F %5C ..%5C..%5C ..%2F . .. %2e%2e ../4 ./4 x/../4 ../../../../etc/passwd
    %00 4%00 a%00b %0A %09 %7F %1B % %% %4 %zz %u0034 %25 %FF %C3%28 %ED%A0%80 %F4%90%80%80
    %C0%AF * 4* 4;v=1 4,5 a:b {id} $where ~ '%20OR%20'1'='1 %3Cscript%3E live:model:current
    %7B0%7D %n%s 4%3Fa=1 4%23a similar history recommendations similar/4 a/b/c 4/ /4""".split(),
    *(b"", b"%0D%0AX-" + CANARY + b":%201", b"0" * 30 + b"4", *(b"9" * n for n in (19, 20, 5000))),
    *(b"x" * 128, b"x" * 129, b"x" * 9000, *(b"%F0%9F%98%80" * n for n in (1, 32, 33))),
)
ODD_VALUES: Final = (
    *b"""0 1 -1 5 1000 1001 200 201 100 101 %2B5 5.0 5.5 1e2 1e400 nan -inf 0x5 1_0 %205 %D9%A5
    true false on TRUE null none previous 1m 5m 4h desc Asia/Kolkata 7m 10080m 10081m 0m 05m 1M 1d
    1w 60 [1] {} 4,7 , ,,4,, 4,x 4,-1 4%2C7 4,%207 currency:eq:USD currency:eq:USD:2
    currency:in:USD,,EUR currency::USD :eq: lot:ge:40 lot:ge:40:0.5 lot:lt:x lot:eq:1e400 lot:ne:%FF
    halted:lt:true halted:ne:true:1e2 lot:eq:4:0 lot:eq:4:nan none:eq:1 %00 % %zz %FF %F0%9F%98%80
    1629061680000 253402300799999 253402300800000 2021-08-15T21:08:00Z 2021-08-15T21:08:00%2B02:00
    2021-08-15T21:08:00+02:00 2021-08-15 2021-02-30T00:00:00Z 0001-01-01T00:00:00Z
    9999-12-31T23:59:59-23:59 1970-01-01T00:00:00+23:59 2016-12-31T23:59:60Z -0
    2021-W01-1T00:00:00Z a=b a%26limit=1""".split(),
    *(b"", CANARY, b"%0D%0A" + CANARY, b"9" * 5000, b"4," * 1000 + b"4", b"a:eq:" + b"x" * 600),
)
ODD_PARAMETERS: Final = (
    *sorted({name.encode() for each in OPERATIONS for name in each.in_query}),
    *(b"LIMIT", b"limit%00", b"n[]", b"", b"unknown", b"%6E", CANARY),
)
STRUCTURES: Final = (
    *b"""/PATH //PATH PATH/ PATH// /.PATH /x/..PATH /..PATH /%2e%2ePATH /%2FPATH PATH%00 PATH.json
    PATH? PATH??a=1 PATH?a#b http://tickrec.testPATH HTTPS://u:p@[::1]:80PATH""".split(),
    *(b"PATH;a=" + CANARY, b"PATH#" + CANARY, b"PATH/" + CANARY * 900, b"PATH" + b"/x" * 4000),
)
NOWHERE: Final = b"""/ * // /// /. /.. /%2F /% /%00 /v1 /v1/ /v2/x /v1/instrument /v1/users/ /health
    /.env /docs/oauth2-redirect /redoc /docs/ /metrics/ /add /instruments/ /instruments//
    /instruments/similar""".split()


def known(rng: Random) -> bytes:
    """Return the target of a valid read."""
    operation = rng.choice(READS)
    shown = [(name, values) for name, values in operation.in_query.items() if values]
    chosen = [rng.choice(shown) for _ in range(rng.randrange(3)) if shown]
    pairs = [f"{name}={text_of(rng.choice(values))}".encode() for name, values in chosen]
    return _path(operation, rng.choice(KNOWN_IDS)) + (b"?" + b"&".join(pairs) if pairs else b"")


def odd_id(rng: Random) -> bytes:
    """Return the target of a read of an odd id: listed, digits or bytes, percent-encoded."""
    size = rng.choice((1, 2, 5, 20, 70, 140))
    characters = "".join(map(chr, rng.choices(range(0xD800), k=size)))
    digits = b"".join(b"%d" % rng.choice((0, 9, rng.randrange(10))) for _ in range(size))
    generated = (digits, *(quote(it, safe="").encode() for it in (characters, rng.randbytes(size))))
    return _path(rng.choice(READS), rng.choice(ODD_IDS if rng.random() < 0.7 else generated))


def odd_query(rng: Random) -> bytes:
    """Return the target of a read with an odd query."""
    pairs = [
        rng.choice(ODD_PARAMETERS) + rng.choice((b"=", b"=", b"=", b"", b"==")) + value
        for value in rng.choices(ODD_VALUES, k=rng.choice((0, 1, 1, 2, 3, 40)))
    ]
    joined = rng.choice((b"&", b"&", b"&", b"&&", b";")).join(pairs)
    if rng.random() < 0.05:
        return b"/v1/stream/bars?instruments=" + rng.choice(ODD_VALUES) + b"&" + joined
    return _path(rng.choice(READS), rng.choice(KNOWN_IDS)) + b"?" + joined


def odd_path(rng: Random) -> bytes:
    """Return a target of an odd structure."""
    if rng.random() < 0.2:
        return rng.choice(NOWHERE)
    path = rng.choice((*FIXED, b"/v1/events", _path(rng.choice(READS), rng.choice(KNOWN_IDS))))
    if rng.random() < 0.8:
        return rng.choice(STRUCTURES).replace(b"PATH", path)
    slashes = (b"/" + path[1:].replace(b"/", mark) for mark in (b"//", b"\\", b"%2F"))
    return rng.choice((*slashes, path.upper(), path.rpartition(b"/")[0] + b"/"))


def _path(operation: Operation, of: bytes) -> bytes:
    """Return an operation's path, of an id as it is."""
    return re.sub(rb"\{\w+\}", lambda _: of, operation.path.encode())
