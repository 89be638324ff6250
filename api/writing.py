"""What all writing requests share: who may write, and how large a body may be."""

import hmac
from typing import Annotated, Final

from fastapi import Depends, Request

from api.problems import TOO_LARGE, UNAUTHORIZED, Problem
from api.services import ServicesDep

MAX_BODY_BYTES: Final = 1024 * 1024


async def require_key(request: Request, services: ServicesDep) -> None:
    """Let only requests with one of `API_KEYS` pass, if there are any.

    Raises:
        Problem: the key is missing, or is none of them.
    """
    keys = services.settings.api_keys
    if not keys:
        return
    given = (request.headers.get("x-api-key") or _bearer(request)).encode()
    # Each key is compared, and each in constant time, so that the time tells nothing.
    if not any([hmac.compare_digest(given, key.encode()) for key in keys]):  # noqa: C419
        detail = "Send a valid key as `X-API-Key: ...` or `Authorization: Bearer ...`"
        raise Problem(UNAUTHORIZED, detail)


async def read_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        Problem: it is larger than `MAX_BODY_BYTES`.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            detail = f"At most {MAX_BODY_BYTES} bytes are taken: send the events in parts"
            raise Problem(TOO_LARGE, detail)
    return bytes(body)


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


Body = Annotated[bytes, Depends(read_body)]
