"""Bodies of write requests: valid events, and anything else. Pure."""

import json
from random import Random
from typing import Any, Final

from tests.fuzz.request import CANARY
from tests.fuzz.targets import OPERATIONS

SOUND: Final[tuple[Any, ...]] = tuple(
    json.loads(json.dumps(body).replace('"ABC"', json.dumps(CANARY.decode())))
    for each in OPERATIONS
    for body in each.bodies
)
"""The examples of all bodies, of a user who must not appear anywhere."""
_EVENTS: Final = [event for body in SOUND if isinstance(body, list) for event in body]
QUOTE: Final = next(event for event in _EVENTS if event.get("type") == "quote")
TRADE: Final = next(event for event in _EVENTS if event.get("type") == "interaction")
_OBJECTS: Final = [body for body in (*SOUND, *_EVENTS) if isinstance(body, dict)]
RAW: Final = (
    *(b"", b" ", b"\n", b"{", b"}", b"[", b"]", b"{}", b"[]", b"[[]]", b"[{}]", b"[1,]", b'{"a":}'),
    *(b"null", b"true", b"0", b"-0", b"1e999", b"-1e999", b"NaN", b"Infinity", b'"x"', b"'x'"),
    *(b"\xff", b"\xef\xbb\xbf{}", b"\xfe\xff\x00{\x00}", b"{\x00}", b"\x00", b'{"type":"\xff"}'),
    *(b'"\\ud800"', b'{"type":"quote","type":"interaction"}', b'{"type":"\\u0000"}', b"a=1&b=2"),
    *(b"[" * 100, b"[" * 100_000, b'{"a":' * 100_000, b"[" * 999 + b"]" * 999, b"1" * 5000),
    *(b"{} {}", b"[] x", b"/*c*/[]", b"<a/>", b"--b\r\n\r\nx\r\n--b--", b"{}\r\n\r\n", CANARY),
)
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -0.0, -1, 1, 1.5, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64),
    *(10**30, 10**400, 1e308, 1.5e308, 5e-324, -1e308, "", "0", "4", "-1", "1e5", "nan", "inf"),
    *("1_0", " 4", ["currency:eq:USD"], ["lot:ge:40:2"], ["lot:ge"], ["none:eq:1", "lot:eq:x"]),
    *("٤", "x", "\x00", "\ud800", "é" * 64, "é" * 65, "x" * 128, "x" * 129, "x" * 5000, "9" * 400),
    *([], [4], {}, {"a": 1}, "trade", "view", "buy", "quote", "interaction", 253402300799999),
    *(253402300800000, 4102444800000, 1629061628.5, "1629061628123", "2021-08-15T21:08:00Z"),
)
NAMES: Final = (
    "",
    "type",
    "ts",
    "TS",
    "__proto__",
    "user_id ",
    "zq",
    "price",
    "instrid",
    "off",
    "filter",
    "boost",
)


def sound(rng: Random) -> bytes:
    """Return valid events."""
    if rng.random() < 0.5:
        return json.dumps(rng.choice(SOUND)).encode()
    return json.dumps([rng.choice((QUOTE, TRADE)) for _ in range(rng.choice((1, 2, 20)))]).encode()


def odd(rng: Random) -> bytes:
    """Return a body of any kind."""
    kind = rng.randrange(10)
    if kind < 3:
        return rng.choice(RAW)
    if kind < 6:
        return _dumped(_changed(rng), rng)
    if kind < 8:
        several: list[Any] = [_changed(rng), rng.choice(SOUND), rng.choice(VALUES)]
        rng.shuffle(several)
        return _dumped(several * rng.choice((1, 1, 5)), rng)
    if kind < 9:
        return _cut(json.dumps(rng.choice(SOUND)).encode(), rng)
    return rng.randbytes(rng.choice((1, 4, 60, 2000)))


def large(rng: Random) -> bytes:
    """Return a body near a limit: of its bytes, its events, or the length of one field."""
    limit = 1024 * 1024
    kind = rng.randrange(4)
    if kind == 0:
        return b" " * rng.choice((limit - 2, limit - 1, limit)) + b"[]"
    if kind == 1:
        return json.dumps([QUOTE] * rng.choice((1000, 1001))).encode()
    if kind == 2:
        return json.dumps({**TRADE, "user_id": "x" * 900_000}).encode()
    return b"[" + b"1," * 400_000 + b"1]"


def parts(body: bytes, rng: Random) -> tuple[bytes, ...]:
    """Return a body cut into chunks."""
    if not body:
        return ()
    size = max(1, len(body) // rng.choice((1, 2, 7)))
    return tuple(body[at : at + size] for at in range(0, len(body), size))


def _changed(rng: Random) -> dict[str, Any]:
    """Return an event with a field of another value, without one, or with one more."""
    event = dict(rng.choice(_OBJECTS))
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice((*event, *NAMES))
        if rng.random() < 0.2:
            event.pop(name, None)
        else:
            event[name] = rng.choice(VALUES)
    return event


def _dumped(value: Any, rng: Random) -> bytes:
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")  # invalid UTF-8 is intended


def _cut(body: bytes, rng: Random) -> bytes:
    """Return a body with a byte less, more, or another."""
    at = rng.randrange(len(body))
    before, after = body[:at], body[at:]
    return rng.choice((before, before + after[1:], before + rng.randbytes(1) + after))
