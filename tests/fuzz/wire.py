"""Parses answers strictly by RFC 9112: any deviation fails."""

import re
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from dataclasses import dataclass
from typing import Final

LIMIT_BYTES: Final = 16 * 1024 * 1024
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [\t -~]*\r\n")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~]*)\r\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_NUMBER: Final = re.compile(rb"[0-9]{1,9}")
_BODYLESS: Final = frozenset({204, 304})
EVENT_STREAM: Final = b"text/event-stream"


class FramingError(Exception):
    """The bytes are not a complete answer."""


class ClosedError(FramingError):
    """The server closed the connection before an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One final answer; names of headers in lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Return the value of a header, None without it."""
        return next((value for given, value in self.headers if given == name), None)

    @property
    def streams(self) -> bool:
        """Whether its body goes on for ever, and was not read."""
        return (self.header(b"content-type") or b"").startswith(EVENT_STREAM)

    @property
    def closes(self) -> bool:
        """Whether it says that nothing comes after it."""
        return (self.header(b"connection") or b"").lower() == b"close"


async def read_answer(reader: StreamReader, *, head: bool) -> Answer:
    """Return the next final answer; `head`: the request's method was HEAD.

    Raises:
        ClosedError: there is none.
        FramingError: it breaks a rule of HTTP/1.1, or ends too early.
    """
    try:
        while (status := await _status(reader)) == 100:
            if await _headers(reader):
                raise FramingError("a 100 with headers")
        headers = await _headers(reader)
        answer = Answer(status, headers, b"")
        if head or status in _BODYLESS or answer.streams:
            return answer
        return Answer(status, headers, await _body(reader, answer))
    except IncompleteReadError as error:
        raise FramingError(f"ends after {error.partial[-200:]!r}") from None
    except LimitOverrunError:
        raise FramingError(f"a line of more than {LIMIT_BYTES} bytes") from None


async def _status(reader: StreamReader) -> int:
    line = await reader.readline()
    if not line:
        raise ClosedError("closed without an answer")
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise FramingError(f"no status line: {line[:200]!r}")
    return int(found[1])


async def _headers(reader: StreamReader) -> tuple[tuple[bytes, bytes], ...]:
    headers = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        found = _HEADER.fullmatch(line)
        if found is None:
            raise FramingError(f"no header: {line[:200]!r}")
        headers.append((found[1].lower(), found[2]))
    return tuple(headers)


async def _body(reader: StreamReader, answer: Answer) -> bytes:
    lengths = [value for name, value in answer.headers if name == b"content-length"]
    coding = answer.header(b"transfer-encoding")
    if coding == b"chunked" and not lengths:
        return await _chunks(reader)
    if coding is None and len(lengths) == 1 and _NUMBER.fullmatch(lengths[0]):
        return await reader.readexactly(int(lengths[0]))
    raise FramingError(f"length in doubt: Content-Length {lengths}, Transfer-Encoding {coding!r}")


async def _chunks(reader: StreamReader) -> bytes:
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        found = _CHUNK_SIZE.fullmatch(line)
        if found is None:
            raise FramingError(f"no chunk's size: {line[:200]!r}")
        size = int(found[1], 16)
        chunk = await reader.readexactly(size + 2)
        if chunk[size:] != b"\r\n":
            raise FramingError("a chunk without its end")
        if size == 0:
            return body
        body += chunk[:size]
