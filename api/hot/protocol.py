"""uvicorn's HTTP protocol, which answers hot requests itself.

uvicorn accepts a custom protocol class. This one answers a hot request as soon as its headers have
arrived; uvicorn handles all others, and the connection itself (keep-alive, pipelining, shutdown).
To uvicorn, a hot request is a `_Cycle`, as an ordinary one is a `RequestResponseCycle`.
"""

import asyncio
import socket
from typing import Final, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from api.hot.arrival import BoundedArrival
from api.hot.request import Head
from api.hot.serving import Serving
from api.http.answer_headers import HEADER, SECURITY_HEADERS, new_id
from api.http.limits import WATCHED
from api.http.problems import INVALID_HTTP, OVERLOADED, Problem, problem_reply
from api.http.reply import Reply, fields
from api.http.server_state import CONNECTIONS, CORS, DRAINING, WEBSOCKET_PATH

_SECURITY: Final = fields(SECURITY_HEADERS)
_SECURITY_BY_ORIGIN: Final = b"%bvary: Origin\r\n" % _SECURITY
_TAKES_NOTHING_MS: Final = 30_000
_UNREAD_S: Final = 30.0
"""How long a client may leave an answer unread that the system has no room for."""
_UNREAD_BYTES: Final = 128 * 1024
"""How much unread response data the system buffers per client: by default, megabytes, for which
answers would be made."""
_MAX_PIPELINED: Final = 32
"""Pipelined requests that may wait on a connection."""
_HOT_PREFIXES: Final = (b"/instruments/", b"/v1/instruments/", b"/v1/users/")
_WATCHED: Final = tuple(b"GET %b " % path.encode() for path in WATCHED)
_WEBSOCKET: Final = WEBSOCKET_PATH.encode()
_REQUEST_ID: Final = HEADER + b": "
_VERSION: Final = b" HTTP/1.1\r\n"
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

    is_private = False
    """whether it is a connection to the private port, which has no bound"""
    _running: RequestResponseCycle | None = None
    """the ordinary request that is being answered: uvicorn keeps the last one received"""
    _refused = False
    """whether malformed input was received: nothing after it is read"""
    _crowded = False
    """whether there are too many connections with this one: only monitoring is answered"""
    _unread: asyncio.TimerHandle | None = None
    _serving: Serving
    _idle_from_s = 0.0
    """when the last hot request was answered, by the loop's clock"""
    _line = _raw_head = b""
    """the first line of the data being parsed, without the version, and the rest"""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; a client that stops reading its answer is dropped in bounded time."""
        super().connection_made(transport)
        self._serving = self.app_state["serving"]
        most = self.app_state[CONNECTIONS]
        self._crowded = not self.is_private and len(self.connections) > most
        self._hot = _Cycle()
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux's
            own = transport.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TAKES_NOTHING_MS)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD_BYTES)

    def data_received(self, data: bytes) -> None:
        """Answer a hot request whose head is known, and parse all other data.

        After malformed input, nothing is read.
        """
        if self._refused:
            return
        if self._crowded and not data.startswith(_WATCHED):
            self._refused = True
            most = self.app_state[CONNECTIONS]
            self._end_with(Problem(OVERLOADED, f"{most} connections are open: try again later"))
            return
        line, _, raw_head = data.partition(_VERSION)
        head = None if self._in_message else self._serving.heads.known(raw_head)
        if head is not None and line.startswith(b"GET /") and self._serve_hot(line[4:], head):
            self._expect_nothing()
            return
        # The rest of a request's head is no head.
        self._line, self._raw_head = (b"", b"") if self._in_message else (line, raw_head)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify all requests in flight: uvicorn notifies only the last one."""
        super().connection_lost(exc)
        self._be_read()
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()

    def pause_writing(self) -> None:
        """Drop the client in bounded time, unless it reads on."""
        super().pause_writing()
        self._unread = self.loop.call_later(_UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        self._be_read()
        super().resume_writing()

    def _be_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def on_response_complete(self) -> None:
        """Continue with the next request, or mark the connection as idle."""
        super().on_response_complete()
        if self._refused:
            self._refuse()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection.

        uvicorn ends the timer with each request and starts one after each answer, which costs 1 us.
        During hot requests it goes on: when it ends, the connection may not be idle, or not for
        long.
        """
        self.timeout_keep_alive_task = None
        hot, now_s = self._hot, self.loop.time()
        left_s = self._idle_from_s + self.timeout_keep_alive - now_s
        if not hot.response_complete:
            left_s = self.timeout_keep_alive
        if left_s > 0:
            self.timeout_keep_alive_task = self.loop.call_later(
                left_s, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        """Begin a request; state that only ordinary ones need is created later."""
        self._in_message = True
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
        head = self._judge_head()
        if head is None or not self._serve_hot(self.url, head):
            self._serve_ordinary()
        elif self._line == b"GET " + self.url:
            self._serving.heads.remember(self._raw_head, head)

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
        self._end_with(Problem(INVALID_HTTP, _NOT_HTTP))

    def _end_with(self, problem: Problem) -> None:
        request_id = new_id()
        answer = problem_reply("", problem, request_id)
        self._write(answer, request_id, b"", keep_alive=False)
        self.transport.close()

    def _judge_head(self) -> Head | None:
        """Return the parsed head of a request that may be hot."""
        parser = self.parser
        if parser.get_method() != b"GET" or parser.get_http_version() != "1.1":
            return None
        keep_alive = parser.should_keep_alive()
        return self._serving.heads.judge(self.headers, keep_alive=keep_alive)

    def _serve_hot(self, target: bytes, head: Head) -> bool:
        """Answer a `GET` if it is hot; return whether it is."""
        serving = self._serving
        under_way = self.cycle is not None and not self.cycle.response_complete
        if under_way or self.flow.write_paused:
            return False
        crowded = serving.gate.full and target.startswith(_HOT_PREFIXES)
        hot = None if crowded else serving.match(target)
        if hot is None and not crowded:
            return False
        self._hot.keep_alive = head.keep_alive and DRAINING not in self.app_state
        self._hot.response_complete = False
        self.cycle = cast("RequestResponseCycle", self._hot)
        if hot is None:
            serving.turn_away(target, head, self._answer)
        else:
            serving.serve(hot, head, self._answer)
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _should_upgrade_to_ws(self) -> bool:
        """Return whether the requested path is that of the WebSocket."""
        return self.url.partition(b"?")[0] == _WEBSOCKET

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: offering HTTP/2, as curl may do, is not worth a log line."""

    def _serve_ordinary(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise TooManyPipelinedError
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)  # the scope holds the same list
        super().on_headers_complete()
        upgrades = self.parser.should_upgrade()
        if upgrades and self._should_upgrade():
            return  # there is no cycle: the connection gets another protocol
        # uvicorn loses data that follows an upgrade offer, which is not accepted.
        if DRAINING in self.app_state or upgrades:
            self.cycle.keep_alive = False

    def _answer(self, answer: Reply, request_id: bytes, rate: bytes) -> None:
        hot = self._hot
        hot.response_complete = True
        if hot.disconnected or self.transport.is_closing():
            return
        self._write(answer, request_id, rate, keep_alive=hot.keep_alive)
        if not hot.keep_alive:
            self.transport.close()
        if self.timeout_keep_alive_task is None or self.pipeline or self._refused:
            self.on_response_complete()
        else:  # there is a timer already, and nothing else to do
            self.server_state.total_requests += 1
        self._idle_from_s = self.loop.time()

    def _write(self, answer: Reply, request_id: bytes, rate: bytes, *, keep_alive: bool) -> None:
        parts = (
            STATUS_LINE[answer.status],
            self._serving.as_sent(self.server_state.default_headers),
            answer.fields,
            _SECURITY_BY_ORIGIN if self.app_state.get(CORS) else _SECURITY,
            rate,
            _REQUEST_ID,
            answer.request_id or request_id,
            b"\r\n\r\n" if keep_alive else b"\r\nconnection: close\r\n\r\n",
            answer.body,
        )
        self.transport.write(b"".join(parts))


class _Cycle:
    """What uvicorn's protocol needs to know about the hot request in flight, or the last one."""

    message_event: Final = asyncio.Event()
    """that nobody waits for"""
    more_body = False

    def __init__(self) -> None:
        self.keep_alive = True
        self.response_complete = True
        self.disconnected = False
