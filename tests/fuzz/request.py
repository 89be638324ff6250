"""Requests in wire format: nothing in them is corrected. Pure.

Clients normalise paths, reject odd header values and repair framing; these requests do not.
"""

from dataclasses import dataclass

Headers = tuple[tuple[bytes, bytes], ...]

CANARY = b"zqcanaryqz"
"""A marker in many requests, which must not appear in a response header or a log."""
KEY = b"zqkeyqz"
"""The API key of the server under test, equally secret."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; a body of several parts goes out in chunks."""

    target: bytes
    method: bytes = b"GET"
    headers: Headers = ()
    body: bytes | tuple[bytes, ...] = b""
    version: bytes = b"HTTP/1.1"

    def wire(self) -> bytes:
        """Return its bytes, framed by its body unless its headers say how."""
        body, headers = self.body, self.headers
        if b"host" not in {name.lower() for name, _ in headers}:
            headers = ((b"Host", b"tickrec.test"), *headers)
        if isinstance(body, tuple):
            headers = (*headers, (b"Transfer-Encoding", b"chunked"))
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*body, b""))
        elif body or self.method in {b"POST", b"PUT", b"PATCH"}:
            headers = (*headers, (b"Content-Length", b"%d" % len(body)))
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return b"%b %b %b\r\n%b\r\n%b" % (self.method, self.target, self.version, lines, body)


KNOWN = Request(b"/health/live")
"""Its answer is known: its position shows whether framing and order hold."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is written to a connection at once: requests that are answered one by one, in order."""

    kind: str
    requests: tuple[Request, ...]
    pieces: int = 1
    """in how many writes its bytes go out"""
    hangs_up: bool = False
    """whether the client is gone before an answer can come"""
    garbage: bytes = b""
    """bytes after the requests that are not HTTP, or have no clear end: at most one answer"""

    def wire(self) -> bytes:
        """Return its bytes."""
        return b"".join(request.wire() for request in self.requests) + self.garbage
