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
        start = b"%b %b %b\r\n" % (self.method, self.target, self.version)
        headers = (*self._missing(), *self.headers)
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return start + lines + b"\r\n" + self._framed()

    def _missing(self) -> Headers:
        """Return the headers that it needs and was not given."""
        given = {name.lower() for name, _ in self.headers}
        host: Headers = () if b"host" in given else ((b"Host", b"tickrec.test"),)
        if isinstance(self.body, tuple):
            return (*host, (b"Transfer-Encoding", b"chunked"))
        if self.body or self.method in {b"POST", b"PUT", b"PATCH"}:
            return (*host, (b"Content-Length", b"%d" % len(self.body)))
        return host

    def _framed(self) -> bytes:
        if not isinstance(self.body, tuple):
            return self.body
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in self.body if part)
        return chunks + b"0\r\n\r\n"


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

    def wire(self) -> bytes:
        """Return its bytes."""
        return b"".join(request.wire() for request in self.requests)


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that are not HTTP, or have no clear end: answered 400, then closed."""

    kind: str
    sent: bytes
    before: tuple[Request, ...] = ()
    """requests that go out with it, and are answered first"""

    def wire(self) -> bytes:
        """Return its bytes."""
        return b"".join(request.wire() for request in self.before) + self.sent
