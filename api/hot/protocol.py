"""uvicorn's HTTP protocol, with hot requests answered from within it.

uvicorn lets its protocol class be chosen. This one takes a hot request as soon as its headers are
there; all others, and what the connection is about (keep-alive, pipelining, shutting down), stay
uvicorn's. A hot request is a `_Cycle` to it, as an ordinary one is a `RequestResponseCycle`.
"""

import asyncio
import socket
from functools import partial
from itertools import chain
from typing import Final, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    RequestResponseCycle,
)

from api.hot.arrival import BoundedArrival
from api.hot.serving import Serving
from api.http.cors import CORS
from api.http.headers import SECURITY_HEADERS
from api.http.health import DRAINING
from api.http.hosts import HOSTS, Hosts
from api.http.problems import INVALID_HTTP, Problem, problem_reply
from api.http.replies import Reply, joined

_SECURITY: Final = b"".join(b"%b: %b\r\n" % header for header in SECURITY_HEADERS)
_SECURITY_BY_ORIGIN: Final = b"%bvary: Origin\r\n" % _SECURITY
_TAKES_NOTHING_MS: Final = 30_000
_UNREAD_BYTES: Final = 128 * 1024
"""That the system holds of answers for a client which reads none: by itself it takes megabytes, and
answers are made for them."""
_MAX_PIPELINED: Final = 32
"""Requests that may wait for those before them on their connection."""
_HOT_PREFIXES: Final = (b"/instruments/", b"/v1/instruments/", b"/v1/users/")
_WITH_A_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
_OF_A_PAGE: Final = _WITH_A_BODY | {b"origin"}
_NOT_HTTP: Final = (
    "It is no HTTP/1.1 request, or has two `Host` headers, or its head is over 64 KiB, or more "
    "than 32 requests wait on the connection, which is closed"
)


class TooManyPipelinedError(RuntimeError):
    """More requests wait on a connection than may; the parser takes it for bytes that are none."""


class TwoHostsError(ValueError):
    """A request has more than one `Host`: a proxy may go by the other one than the server."""


class HotProtocol(BoundedArrival):
    """One connection of a client."""

    _running: RequestResponseCycle | None = None
    """the ordinary request that is answered now: uvicorn holds the one that came last"""
    _refused = False
    """whether something came that is no request: nothing after it is read"""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; a client that takes nothing of its answer any more is given up in bounded time."""
        super().connection_made(transport)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux's
            own = transport.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TAKES_NOTHING_MS)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD_BYTES)

    def data_received(self, data: bytes) -> None:
        """Read on, unless nothing more can be understood."""
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all requests that are under way: uvicorn tells the one that came last."""
        super().connection_lost(exc)
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Go on with the next request, or say that there is none."""
        super().on_response_complete()
        if self._refused:
            self._refuse()

    def on_message_begin(self) -> None:
        """Begin a request; what only an ordinary one needs is made when it turns out to be one."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Answer a hot request here, have uvicorn answer any other."""
        if self.url.startswith(b"//"):
            self.url = b"/" + self.url.lstrip(b"/")
        names = [name for name, _ in self.headers]
        if names.count(b"host") > 1:
            raise TwoHostsError
        if not self._serve_hot(names):
            self._serve_ordinary()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's words)
        """Answer bytes that are no request, with a problem as all others."""
        self._refused = True
        self._refuse()

    def _refuse(self) -> None:
        """Answer what is no request, once those before it are answered."""
        last = self.cycle
        waits = last is not None and not last.response_complete
        if waits and last.more_body:
            # Its body is what cannot be read. Without an answer yet it would wait for ever; one
            # that has begun has said all that this request will be told.
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
                return False  # the ordinary route refuses it
        crowded = serving.full and self.url.startswith(_HOT_PREFIXES)
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
        """Say nothing: to offer HTTP/2, as curl may, is no reason to write to the log."""

    def _serve_ordinary(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise TooManyPipelinedError
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)  # the scope holds the same list
        super().on_headers_complete()
        # What comes at once with an offer to upgrade, which is not taken up, is lost in uvicorn.
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
        parts = [STATUS_LINE[answer.status]]
        for name, value in chain(self.server_state.default_headers, answer.headers):
            parts += (name, b": ", value, b"\r\n")
        always = _SECURITY_BY_ORIGIN if self.app_state.get(CORS) else _SECURITY
        parts += (always, b"\r\n" if keep_alive else b"connection: close\r\n\r\n", answer.body)
        self.transport.write(b"".join(parts))


class _Nobody:
    """Waits for nothing."""

    def set(self) -> None:
        """Wake nobody."""


_NOBODY: Final = _Nobody()


class _Cycle:
    """What uvicorn's protocol looks at of the request that is under way."""

    __slots__ = ("disconnected", "keep_alive", "more_body", "response_complete")

    message_event = _NOBODY

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.more_body = False
