"""Bounds the requests in flight on the framework's routes.

A request is rejected before it is routed, at a fraction of the cost of an answer.

A write counts as in flight once its body has arrived: slow senders take no places from requests
that wait for Kafka. Bodies that are still arriving have their own bounds: in bytes, to limit
memory, and in number per client.
"""

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.failures import problem_response
from api.http.limits import MAX_READS, MAX_WRITES, WATCHED, Gate, PerClient, Refusals, client_of
from api.http.problems import OVERLOADED, Problem

MAX_ARRIVING: Final = 1024
"""Bodies that are still arriving. Each may have another 64 KiB buffered in the server."""
MAX_ARRIVING_OF_A_CLIENT: Final = 128
MAX_ARRIVING_BYTES: Final = 64 * 1024 * 1024
"""Received of all of them together."""
_TOO_MANY: Final = 429
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


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


class _Place:
    """A request's place among those in flight; that of a write begins when its body has arrived."""

    def __init__(self, gate: Gate, bodies: _Bodies, scope: Scope) -> None:
        self._gate = gate
        self._bodies = bodies
        self._client = client_of(scope)
        self._has_body = scope["method"] not in _READS and any(
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
        if not self._arriving or message["type"] != "http.request":
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


class LoadShedding:
    """Passes reads and writes on to `app`, each up to their number at a time.

    A request is in flight until its answer begins. From then on, a stream of events no longer
    counts: it mostly waits, and has its own bound.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._reads = Gate(MAX_READS)
        self._writes = Gate(MAX_WRITES)
        self._bodies = _Bodies()
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] != "http" or scope["path"] in WATCHED:
            await self._app(scope, receive, send)
            return
        gate = self._reads if scope["method"] in _READS else self._writes
        under_way = _Place(gate, self._bodies, scope)
        try:
            under_way.begin()
        except Problem as problem:
            await self._refusals.rest()
            await problem_response(Request(scope), problem)(scope, receive, send)
            return
        await self._pass(under_way, scope, receive, send)

    async def _pass(self, under_way: _Place, scope: Scope, receive: Receive, send: Send) -> None:
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
