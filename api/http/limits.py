"""Load shedding: bounds the requests in flight, and rejects those above the bound.

An overloaded server otherwise makes all clients wait, and works on answers that nobody is waiting
for any more. A request is rejected before it is routed, at a fraction of the cost of an answer. The
hot path (`api.hot`) has a gate of its own, and rejects in the same way.

A write counts as in flight once its body has arrived: slow senders take no places from requests
that wait for Kafka. Bodies that are still arriving have their own bounds: in bytes, to limit
memory, and in number per client.

An import is published while its body arrives, which may take hours: imports have places of their
own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.failures import problem_response
from api.http.problems import OVERLOADED, Problem

MAX_READS: Final = 256
"""At 4,000 answers a second, the rate of one core, the last one is answered after 64 ms: within the
promised 250 ms, with room for Redis."""
MAX_WRITES: Final = 64
"""The queue of librdkafka has room for all of their messages."""
MAX_IMPORTS: Final = 4
"""Each takes some 20 to 60 MB, and the CPU that other requests leave."""
MAX_ARRIVING: Final = 1024
"""Bodies that are still arriving. Each may have another 64 KiB buffered in the server."""
MAX_ARRIVING_OF_A_CLIENT: Final = 128
MAX_ARRIVING_BYTES: Final = 64 * 1024 * 1024
"""Received of all of them together."""

REFUSED_AFTER_S: Final = 0.15
"""A rejection is sent so long after the request came, well within the promised 250 ms. Clients that
retry without a pause would otherwise keep the server busy with rejections."""
_TOGETHER_S: Final = 0.005
"""Rejections that are due within it are sent together."""
_TOO_MANY: Final = 429
WATCHED: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Their requests are never rejected: monitoring must answer under overload most of all."""
IMPORT: Final = "/v1/events/import"
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Bounds the requests in flight."""

    __slots__ = ("_limit", "under_way")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.under_way = 0

    @property
    def full(self) -> bool:
        """Whether one more request would be too many."""
        return self.under_way >= self._limit

    def problem(self) -> Problem:
        """Return the problem of a request that finds no place."""
        detail = f"{self._limit} requests are in flight already: try again in a second"
        return Problem(OVERLOADED, detail)

    def check(self) -> None:
        """Raise a Problem if there is no place."""
        if self.full:
            raise self.problem()

    def enter(self) -> None:
        """Take a place; Problem if there is none."""
        self.check()
        self.under_way += 1


class PerClient:
    """Counts what each client has open, under each of its names."""

    def __init__(self, limit: int, problem: Callable[[str], Problem]) -> None:
        """Allow each name `limit`; `problem` is that of a name which has as many."""
        self._limit = limit
        self._problem = problem
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._open.total()

    def enter(self, names: Collection[str]) -> None:
        """Count one more under each of the names; Problem if one of them has too many."""
        for name in names:
            if self._open[name] >= self._limit:
                raise self._problem(name)
        self._open.update(names)

    def leave(self, names: Collection[str]) -> None:
        """Count one less."""
        for name in names:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]


class Refusals:
    """Sends rejections `REFUSED_AFTER_S` after their requests came."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        """Of each, the arrival time, and what sends it."""

    def later(self, send: Callable[[], None]) -> None:
        """Call `send` when it is time."""
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time(), send))
        if len(self._waiting) == 1:
            loop.call_later(REFUSED_AFTER_S, self._send)

    async def rest(self) -> None:
        """Return when it is time."""
        over = asyncio.Event()
        self.later(over.set)
        await over.wait()

    def _send(self) -> None:
        """Send those that are due."""
        loop = asyncio.get_running_loop()
        due = loop.time() - REFUSED_AFTER_S + _TOGETHER_S
        while self._waiting and self._waiting[0][0] <= due:
            _, send = self._waiting.popleft()
            send()
        if self._waiting:
            wait_s = max(self._waiting[0][0] - due, 0) + _TOGETHER_S
            loop.call_later(wait_s, self._send)


class _Bodies:
    """Bodies that are still arriving."""

    def __init__(self) -> None:
        self._of_clients = PerClient(
            MAX_ARRIVING_OF_A_CLIENT,
            lambda _: _too_many_bodies(MAX_ARRIVING_OF_A_CLIENT, " of this client"),
        )
        self.bytes = 0

    def begin(self, client: str) -> None:
        """Count a body; Problem if there are too many."""
        self._of_clients.enter([client])
        if len(self._of_clients) > MAX_ARRIVING:
            self._of_clients.leave([client])
            raise _too_many_bodies(MAX_ARRIVING, "")

    def end(self, client: str) -> None:
        """Forget a body."""
        self._of_clients.leave([client])


def _too_many_bodies(limit: int, of_whom: str) -> Problem:
    return Problem(OVERLOADED, f"{limit} bodies{of_whom} are still arriving: try later")


class _Write:
    """A write: first its body arrives, then it takes a place."""

    def __init__(self, gate: Gate, bodies: _Bodies, scope: Scope) -> None:
        self._gate = gate
        self._bodies = bodies
        self._client = client_of(scope)
        self._has_body = any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in scope["headers"]
        )
        self._bytes = 0
        self._arriving = self._inside = False

    def begin(self) -> None:
        """Expect a body, or take a place if there is none; Problem if there is no room."""
        if not self._has_body:
            self._enter()
            return
        self._gate.check()
        self._bodies.begin(self._client)
        self._arriving = True

    def take(self, message: Message) -> None:
        """Accept a part of the body, and at its end take a place; Problem if there is no room."""
        if self._inside or message["type"] != "http.request":
            return
        if not message.get("more_body", False):
            self._arrived()
            self._enter()
            return
        size = len(message.get("body", b""))
        self._bytes += size
        self._bodies.bytes += size
        if self._bodies.bytes > MAX_ARRIVING_BYTES:
            detail = f"{MAX_ARRIVING_BYTES} bytes of bodies are arriving: try again in a second"
            raise Problem(OVERLOADED, detail)

    def leave(self) -> None:
        """Release the place and the body."""
        self._arrived()
        self._gate.under_way -= self._inside
        self._inside = False

    def _enter(self) -> None:
        self._gate.enter()
        self._inside = True

    def _arrived(self) -> None:
        self._bodies.bytes -= self._bytes
        self._bytes = 0
        if self._arriving:
            self._bodies.end(self._client)
            self._arriving = False


class _Whole:
    """A read or an import, which takes a place from the start to its answer."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._inside = False

    def begin(self) -> None:
        """Take a place; Problem if there is none."""
        self._gate.enter()
        self._inside = True

    def take(self, message: Message) -> None:
        """Accept a part of a body, without a bound."""

    def leave(self) -> None:
        """Give the place back."""
        self._gate.under_way -= self._inside
        self._inside = False


class Bounded:
    """Passes reads, writes and imports on to `app`, each up to their number at a time.

    A request is in flight until its answer begins. From then on, a stream of events no longer
    counts: it mostly waits, and has its own bound.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._reads = Gate(MAX_READS)
        self._writes = Gate(MAX_WRITES)
        self._imports = Gate(MAX_IMPORTS)
        self._bodies = _Bodies()
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] != "http" or scope["path"] in WATCHED:
            await self._app(scope, receive, send)
            return
        under_way = self._begun(scope)
        try:
            under_way.begin()
        except Problem as problem:
            await self._refusals.rest()
            await problem_response(Request(scope), problem)(scope, receive, send)
            return
        await self._pass(under_way, scope, receive, send)

    def _begun(self, scope: Scope) -> _Whole | _Write:
        if scope["method"] in _READS:
            return _Whole(self._reads)
        if scope["path"] == IMPORT:
            return _Whole(self._imports)
        return _Write(self._writes, self._bodies, scope)

    async def _pass(
        self, under_way: _Whole | _Write, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def taking() -> Message:
            message = await receive()
            under_way.take(message)
            return message

        async def leaving(message: Message) -> None:
            if message["type"] == "http.response.start":
                under_way.leave()
                if message["status"] == _TOO_MANY:
                    await self._refusals.rest()
            await send(message)

        try:
            await self._app(scope, taking, leaving)
        finally:
            under_way.leave()


def client_of(scope: Scope) -> str:
    """Return the address of a request's client, as reported by a trusted proxy."""
    client = scope.get("client")
    return client[0] if client else ""
