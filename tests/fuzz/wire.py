"""Sends bytes, and parses answers strictly by RFC 9112: any deviation fails."""

import asyncio
import re
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from dataclasses import dataclass
from typing import Final

from tests.fuzz.request import Request
from tests.patience import PATIENCE_S

LIMIT_BYTES: Final = 16 * 1024 * 1024
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~]*)\r\n")
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([1-5][0-9]{2}) [\t -~]*\r\n((?:" + _HEADER.pattern + rb")*)\r\n"
)
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


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
        return (self.header(b"content-type") or b"").startswith(b"text/event-stream")

    @property
    def is_last(self) -> bool:
        """Whether the connection can be used for no further request."""
        return self.streams or (b"connection", b"close") in self.headers


class Connection:
    """A connection to a server at a local port, opened again after each that ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._opened: tuple[StreamReader, StreamWriter] | None = None

    async def send(self, data: bytes, pieces: int = 1) -> None:
        """Write bytes, in this number of pieces."""
        if self._opened is None:
            opening = asyncio.open_connection("127.0.0.1", self._port, limit=LIMIT_BYTES)
            self._opened = await opening
        size = len(data) // pieces + 1
        for at in range(0, len(data), size):
            self._opened[1].write(data[at : at + size])
            await asyncio.sleep(0)  # the other connections' turn

    def end(self) -> None:
        """Send nothing more."""
        if self._opened is not None:
            self._opened[1].write_eof()

    async def answer(self, *, head: bool = False) -> Answer:
        """Return the next answer, as `read_answer` does."""
        assert self._opened is not None
        return await read_answer(self._opened[0], head=head)

    async def ask(self, request: Request) -> Answer:
        """Return the answer to a request, within `PATIENCE_S`."""
        async with asyncio.timeout(PATIENCE_S):
            await self.send(request.wire())
            answer = await self.answer(head=request.method == b"HEAD")
        if answer.is_last:
            self.close()
        return answer

    def close(self) -> None:
        """End it at once."""
        if self._opened is not None:
            self._opened[1].transport.abort()
        self._opened = None


async def read_answer(reader: StreamReader, *, head: bool) -> Answer:
    """Return the next final answer; `head`: the request's method was HEAD.

    Raises:
        ClosedError: there is none.
        FramingError: it breaks a rule of HTTP/1.1, or ends too early.
    """
    try:
        answer = await _head(reader)
        while answer.status == 100:
            if answer.headers:
                raise FramingError("a 100 with headers")
            answer = await _head(reader)
        if head or answer.status in {204, 304} or answer.streams:
            return answer
        return Answer(answer.status, answer.headers, await _body(reader, answer))
    except IncompleteReadError as error:
        raise FramingError(f"ends after {error.partial[-200:]!r}") from None
    except LimitOverrunError:
        raise FramingError(f"a line of more than {LIMIT_BYTES} bytes") from None


async def _head(reader: StreamReader) -> Answer:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except IncompleteReadError as error:
        if error.partial:
            raise
        raise ClosedError("closed without an answer") from None
    if (found := _HEAD.fullmatch(head)) is None:
        raise FramingError(f"no status line and headers: {head[:200]!r}")
    headers = tuple((name.lower(), value) for name, value in _HEADER.findall(found[2]))
    return Answer(int(found[1]), headers, b"")


async def _body(reader: StreamReader, answer: Answer) -> bytes:
    lengths = [value for name, value in answer.headers if name == b"content-length"]
    coding = answer.header(b"transfer-encoding")
    if coding is None and len(lengths) == 1 and re.fullmatch(rb"[0-9]{1,9}", lengths[0]):
        return await reader.readexactly(int(lengths[0]))
    if coding != b"chunked" or lengths:
        raise FramingError(f"length in doubt: {lengths}, Transfer-Encoding {coding!r}")
    body = b""
    while found := _CHUNK_SIZE.fullmatch(await reader.readuntil(b"\r\n")):
        chunk = await reader.readexactly((size := int(found[1], 16)) + 2)
        if chunk[size:] != b"\r\n":
            raise FramingError("a chunk without its end")
        if size == 0:
            return body
        body += chunk[:size]
    raise FramingError("no chunk's size")
