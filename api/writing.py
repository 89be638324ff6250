"""What all writing requests share: who may write, how much of it, and how a body is taken.

Key, quota and announced size are judged by the headers alone, so that a refusal costs little: not a
byte of the body is read for it. The quota is spent here and not by the routes, so that none of them
can forget it.

Without `API_KEYS` all writers share one quota. An address would tell them apart only in part: all
who come through a load balancer have its address, and one sender may have many.
"""

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from api.events import MAX_EVENTS
from api.limits import WriteQuota
from api.problems import INCOMPLETE_BODY, TOO_LARGE, UNAUTHORIZED, Problem
from api.services import ServicesDep

MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 4.0
"""For a whole body, however it trickles: with the 5 s that Kafka may take, a request is over within
the 10 s that a server which stops waits for it. 1 MiB then needs 2 Mbit/s."""

_ANYBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who sends a request, and what it may send."""

    key: str = field(repr=False)  # a secret: it must not get into a log
    quota: WriteQuota

    def spend(self, events: int) -> None:
        """Take `events` of what the writer may send; Problem if so many are not left."""
        self.quota.spend(self.key, events)


async def require_key(request: Request, services: ServicesDep) -> Writer:
    """Let only requests with one of `API_KEYS` pass, if there are any.

    Raises:
        Problem: the key is missing, or is none of them.
    """
    quota: WriteQuota = request.app.state.write_quota
    keys = services.settings.api_keys
    if not keys:
        return Writer(_ANYBODY, quota)
    given = _given_key(request)
    # Each key is compared, and each in constant time, so that the time tells nothing.
    matching = [key for key in keys if hmac.compare_digest(given, key.encode())]
    if not matching:
        detail = "Send a valid key as `X-API-Key: ...` or `Authorization: Bearer ...`"
        raise Problem(UNAUTHORIZED, detail)
    return Writer(matching[0], quota)


WriterDep = Annotated[Writer, Depends(require_key)]


async def read_body(request: Request, writer: WriterDep) -> bytes:
    """Return the body of a request, at the cost of its events: of one before it is read.

    Raises:
        Problem: the quota is used up; the body is larger than `MAX_BODY_BYTES`, or is not there in
            whole within `BODY_TIMEOUT_S`.
    """
    writer.spend(1)
    _check_size(int(request.headers.get("content-length", 0)))
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await _read(request)
    except TimeoutError:
        detail = f"{BODY_TIMEOUT_S:g} s are given for a whole body: send fewer events at a time"
        raise Problem(INCOMPLETE_BODY, detail) from None
    except ClientDisconnect:  # nobody reads the answer, but it is counted
        raise Problem(INCOMPLETE_BODY, "The client hung up before the body's end") from None
    writer.spend(_cost(body) - 1)
    return body


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        _check_size(len(body))  # a body in chunks announces no size
    return bytes(body)


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        detail = f"At most {MAX_BODY_BYTES} bytes are taken: send the events in parts"
        raise Problem(TOO_LARGE, detail)


def _cost(body: bytes) -> int:
    """Return what a body takes of the quota, 1 to `MAX_EVENTS`, before anything is decoded.

    Each event is an object, so there are no more of them than opening braces. Each KiB counts as
    one at least: to refuse a large body of nothing takes time, too.

    >>> _cost(b'[{"type": "quote"}, {"type": "quote"}]'), _cost(b"[]"), _cost(b" " * 9999)
    (2, 1, 9)
    """
    return max(1, min(MAX_EVENTS, max(body.count(b"{"), len(body) // 1024)))


def _given_key(request: Request) -> bytes:
    key = request.headers.get("x-api-key") or _bearer(request)
    return key.encode("latin-1")  # as headers are decoded: these are the bytes that were sent


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


Body = Annotated[bytes, Depends(read_body)]
