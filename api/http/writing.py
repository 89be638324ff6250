"""What all writing requests share: who may write, how much of it, and how a body is taken.

Key, quota and announced size are judged by the headers alone, so that a refusal costs little: not a
byte of the body is read for it. The quota is spent here and not by the routes, so that none of them
can forget it.

Without `API_KEYS` all writers share one quota. An address would tell them apart only in part: all
who come through a load balancer have its address, and one sender may have many.
"""

import asyncio
import hmac
from collections.abc import Collection
from typing import Final

from starlette.requests import ClientDisconnect, Request

from api.http.problems import INCOMPLETE_BODY, TOO_LARGE, UNAUTHORIZED, Problem
from api.http.quotas import WriteQuota

MAX_EVENTS: Final = 1000
"""Of one request."""
MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 4.0
"""For a whole body, however it trickles: with the 5 s that Kafka may take, a request is over within
the 10 s that a server which stops waits for it. 1 MiB then needs 2 Mbit/s."""

_ANYBODY: Final = ""


class Writing:
    """Lets writers write, and keeps their quotas."""

    def __init__(self, keys: Collection[str], quota: WriteQuota) -> None:
        self._keys = [key.encode() for key in keys]
        self._quota = quota

    async def body_of(self, request: Request) -> bytes:
        """Return the body of a request, at the cost of its events: of one before it is read.

        Raises:
            Problem: a key is needed and missing; the quota is used up; the body is larger than
                `MAX_BODY_BYTES`, or is not there in whole within `BODY_TIMEOUT_S`.
        """
        writer = self._writer(request)
        self._quota.spend(writer, 1)
        _check_size(int(request.headers.get("content-length", 0)))
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _read(request)
        except TimeoutError:
            detail = f"{BODY_TIMEOUT_S:g} s are given for a whole body: send fewer events at a time"
            raise Problem(INCOMPLETE_BODY, detail) from None
        except ClientDisconnect:  # nobody reads the answer, but it is counted
            raise Problem(INCOMPLETE_BODY, "The client hung up before the body's end") from None
        self._quota.spend(writer, _cost(body) - 1)
        return body

    def _writer(self, request: Request) -> str:
        """Return the key whose quota a request is on; Problem if one is needed and missing."""
        if not self._keys:
            return _ANYBODY
        given = _given_key(request)
        # Each key is compared, and each in constant time, so that the time tells nothing.
        matching = [key for key in self._keys if hmac.compare_digest(given, key)]
        if not matching:
            detail = "Send a valid key as `X-API-Key: ...` or `Authorization: Bearer ...`"
            raise Problem(UNAUTHORIZED, detail)
        return matching[0].decode()


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
