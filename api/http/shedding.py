"""A bound on the requests under way: those above it are turned away at once, to come back.

A server past its limit otherwise makes everybody wait, and works on answers that nobody waits for
any longer. Turned away is a request before it is routed, at a fraction of what an answer costs.
"""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.failures import problem_response
from api.http.problems import OVERLOADED, Problem

MAX_READS: Final = 256
"""At 4,000 answers a second, what a core makes, the last of them is answered after 64 ms: within
the 250 ms that are promised, with room for Redis."""
MAX_WRITES: Final = 64
"""Of up to 1,000 messages each, they fit into the 100,000 that librdkafka queues; of up to 1 MiB
each, they take no more than a few hundred MB as messages."""

_WATCHED: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
"""What tells how the server is must answer most of all when there is too much."""


@dataclass(slots=True)
class _Gate:
    limit: int
    under_way: int = 0


class Bounded:
    """Passes at most `MAX_READS` and `MAX_WRITES` requests at a time on to `app`.

    A request is under way until its answer begins. A stream of events then counts no longer: it
    waits, and has a bound of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._reads = _Gate(MAX_READS)
        self._writes = _Gate(MAX_WRITES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or turn it away."""
        if scope["type"] != "http" or scope["path"] in _WATCHED:
            await self._app(scope, receive, send)
            return
        gate = self._writes if scope["method"] == "POST" else self._reads
        if gate.under_way >= gate.limit:
            await self._turn_away(gate, scope, receive, send)
        else:
            await self._pass(gate, scope, receive, send)

    async def _turn_away(self, gate: _Gate, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"{gate.limit} requests are under way already: try again in a second"
        answer = problem_response(Request(scope), Problem(OVERLOADED, detail))
        await answer(scope, receive, send)

    async def _pass(self, gate: _Gate, scope: Scope, receive: Receive, send: Send) -> None:
        inside = True

        def leave() -> None:
            nonlocal inside
            gate.under_way -= inside
            inside = False

        async def leaving(message: Message) -> None:
            if message["type"] == "http.response.start":
                leave()
            await send(message)

        gate.under_way += 1
        try:
            await self._app(scope, receive, leaving)
        finally:
            leave()
