"""uvicorn's HTTP protocol, which answers hot requests itself.

uvicorn accepts a custom protocol class. This one answers a hot request as soon as its headers have
arrived; uvicorn handles all others, and the connection itself (keep-alive, pipelining, shutdown).
To uvicorn, a hot request is a `_Cycle`, as an ordinary one is a `RequestResponseCycle`.
"""

import asyncio
import socket
from functools import partial
from typing import Final, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    RequestResponseCycle,
)

from api.hot.arrival import BoundedArrival
from api.hot.serving import Serving
from api.http.health import DRAINING
from api.http.problems import INVALID_HTTP, Problem, problem_reply
from api.http.replies import Reply, fields, joined
from api.http.security import CORS, HOSTS, SECURITY_HEADERS, Hosts

_SECURITY: Final = fields(SECURITY_HEADERS)
_SECURITY_BY_ORIGIN: Final = b"%bvary: Origin\r\n" % _SECURITY
_TAKES_NOTHING_MS: Final = 30_000
_UNREAD_BYTES: Final = 128 * 1024
"""How much unread response data the system buffers per client: by default, megabytes, for which
answers would be made."""
_MAX_PIPELINED: Final = 32
"""Pipelined requests that may wait on a connection."""
_HOT_PREFIXES: Final = (b"/instruments/", b"/v1/instruments/", b"/v1/users/")
_WITH_A_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
_OF_A_PAGE: Final = _WITH_A_BODY | {b"origin"}
_NOT_HTTP: Final = (
    "Not an HTTP/1.1 request, or two `Host` headers, or a head over 64 KiB, or more "
    "than 32 pipelined requests; the connection is closed"
)


class TooManyPipelinedError(RuntimeError):
    """Too many requests wait on a connection; the parser handles it as malformed input."""


class TwoHostsError(ValueError):
    """A request has more than one `Host`: a proxy and the server may use different ones."""


class HotProtocol(BoundedArrival):
    """One connection of a client."""

    _running: RequestResponseCycle | None = None
    """the ordinary request that is being answered: uvicorn keeps the last one received"""
    _refused = False
    """whether malformed input was received: nothing after it is read"""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; a client that stops reading its answer is dropped in bounded time."""
        super().connection_made(transport)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux's
            own = transport.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TAKES_NOTHING_MS)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD_BYTES)

    def data_received(self, data: bytes) -> None:
        """Parse data, unless the input was malformed before."""
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify all requests in flight: uvicorn notifies only the last one."""
        super().connection_lost(exc)
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Continue with the next request, or mark the connection as idle."""
        super().on_response_complete()
        if self._refused:
            self._refuse()

    def on_message_begin(self) -> None:
        """Begin a request; state that only ordinary ones need is created later."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Answer a hot request here, and leave any other to uvicorn."""
        if self.url.startswith(b"//"):
            self.url = b"/" + self.url.lstrip(b"/")
        names = [name for name, _ in self.headers]
        if names.count(b"host") > 1:
            raise TwoHostsError
        if not self._serve_hot(names):
            self._serve_ordinary()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's text)
        """Answer malformed input with a problem."""
        self._refused = True
        self._refuse()

    def _refuse(self) -> None:
        """Answer malformed input, once the requests before it are answered."""
        last = self.cycle
        waits = last is not None and not last.response_complete
        if waits and last.more_body:
            # The malformed input is its body. If its answer has not begun, it would wait forever;
            # if it has, nothing more is sent.
            waits = last.response_started
            last.keep_alive = False
        if waits or self.pipeline or self.transport.is_closing():
            return
        answer = problem_reply("", Problem(INVALID_HTTP, _NOT_HTTP))
        self._write(answer, keep_alive=False)
        self.transport.close()

    def _serve_hot(self, names: list[bytes]) -> bool:
        serving: Serving | None = self.app_state.get("serving")
        under_way = self.cycle is not None and not self.cycle.response_complete
        if serving is None or under_way or self.flow.write_paused:
            return False
        parser = self.parser
        if parser.get_method() != b"GET" or parser.get_http_version() != "1.1":
            return False
        ordinary = _OF_A_PAGE if self.app_state[CORS] else _WITH_A_BODY
        if not ordinary.isdisjoint(names):
            return False
        hosts: Hosts | None = self.app_state[HOSTS]
        if hosts is not None and b"host" in names:
            _, host = self.headers[names.index(b"host")]
            if not hosts.allow(host):
                return False  # the ordinary route rejects it
        crowded = serving.gate.full and self.url.startswith(_HOT_PREFIXES)
        hot = None if crowded else serving.match(self.url)
        if hot is None and not crowded:
            return False
        keep_alive = parser.should_keep_alive() and DRAINING not in self.app_state
        cycle = _Cycle(keep_alive=keep_alive)
        self.cycle = cast("RequestResponseCycle", cycle)
        send = partial(self._answer, cycle)
        if hot is None:
            serving.turn_away(self.url, send)
        else:
            tags = None
            if b"if-none-match" in names:
                tags = joined(value for name, value in self.headers if name == b"if-none-match")
            serving.serve(hot, self.headers, tags, send)
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: offering HTTP/2, as curl may do, is not worth a log line."""

    def _serve_ordinary(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise TooManyPipelinedError
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)  # the scope holds the same list
        super().on_headers_complete()
        # uvicorn loses data that follows an upgrade offer, which is not accepted.
        if DRAINING in self.app_state or self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _answer(self, cycle: "_Cycle", answer: Reply) -> None:
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        self._write(answer, keep_alive=cycle.keep_alive)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _write(self, answer: Reply, *, keep_alive: bool) -> None:
        parts = (
            STATUS_LINE[answer.status],
            fields(self.server_state.default_headers),
            answer.fields,
            _SECURITY_BY_ORIGIN if self.app_state.get(CORS) else _SECURITY,
            b"\r\n" if keep_alive else b"connection: close\r\n\r\n",
            answer.body,
        )
        self.transport.write(b"".join(parts))


class _Nobody:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Do nothing."""


_NOBODY: Final = _Nobody()


class _Cycle:
    """What uvicorn's protocol needs to know about the request in flight."""

    __slots__ = ("disconnected", "keep_alive", "more_body", "response_complete")

    message_event = _NOBODY

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.more_body = False
