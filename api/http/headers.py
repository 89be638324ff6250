"""The security headers of every answer, and the middleware that adds them.

`SECURITY_HEADERS` is the one list of them. What answers without this middleware adds it itself.
"""

import base64
import hashlib
import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # An answer is data: should a browser take it for a page, it may load, run and frame nothing.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_INLINE_SCRIPT: Final = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


def sources_of_inline_scripts(page: bytes) -> str:
    """Return what a policy's `script-src` has to name for the scripts in a page itself."""
    digests = [hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


class Secured:
    """Adds `SECURITY_HEADERS` to each answer of `app`, but for those that it has already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and complete the headers of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def completing(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                has = {name.lower() for name, _ in given}
                missing = [pair for pair in SECURITY_HEADERS if pair[0] not in has]
                message = {**message, "headers": given + missing}
            await send(message)

        await self._app(scope, receive, completing)
