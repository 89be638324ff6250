"""Reads the body of a request: JSON only, of bounded size, within bounded time.

A page of any origin can make a browser post a form or a text to a server that only this browser can
reach, but not `application/json`: that needs a preflight request.
"""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from api.http.problems import INCOMPLETE_BODY, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, Problem

MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 4.0
"""For a whole body, however slowly it arrives: with the 5 s that Kafka may take, a request ends
within the 10 s for which a server that shuts down waits for it. 1 MiB then needs 2 Mbit/s."""


def check_head(request: Request) -> None:
    """Check a body by its headers.

    Raises:
        Problem: it is not JSON, or larger than `MAX_BODY_BYTES`.
    """
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != "application/json":
        detail = f"Send `Content-Type: application/json`, not {given!r:.100}"
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail)
    _check_size(int(request.headers.get("content-length", 0)))


async def read_body(request: Request) -> bytes:
    """Return the whole body of a request.

    Raises:
        Problem: it is larger than `MAX_BODY_BYTES`, or does not arrive within `BODY_TIMEOUT_S`.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                _check_size(len(body))  # a chunked body does not declare its size
            return bytes(body)
    except TimeoutError:
        detail = f"{BODY_TIMEOUT_S:g} s are allowed for a whole body: send fewer events at a time"
        raise Problem(INCOMPLETE_BODY, detail) from None
    except ClientDisconnect:  # nobody reads the answer, but it is counted
        raise Problem(INCOMPLETE_BODY, "The client disconnected before the body's end") from None


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        detail = f"At most {MAX_BODY_BYTES} bytes are accepted: send the events in parts"
        raise Problem(TOO_LARGE, detail)
