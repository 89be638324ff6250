"""The security headers of every answer, and the middleware that adds them.

`SECURITY_HEADERS` is the only list of them. Code that answers without this middleware adds them.
"""

import base64
import hashlib
import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # An answer is data: if a browser renders it as a page, it may load, run and frame nothing.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_INLINE_SCRIPT: Final = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


def sources_of_inline_scripts(page: bytes) -> str:
    """Return the `script-src` sources that allow the inline scripts of a page."""
    digests = [hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


class Secured:
    """Adds `SECURITY_HEADERS` to each answer of `app`, unless it sets them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""
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
