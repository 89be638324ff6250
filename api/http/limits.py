"""Limits on requests: load shedding for all, and a quota for each caller.

**Load shedding** bounds the requests in flight, and rejects those above the bound. An overloaded
server otherwise makes all clients wait, and works on answers that nobody is waiting for any more. A
request is rejected before it is routed, at a fraction of the cost of an answer.

A write counts as in flight once its body has arrived: slow senders take no places from requests
that wait for Kafka. Bodies that are still arriving have their own bounds: in bytes, to limit
memory, and in number per client.

**Quotas** are in a time window. Writes are counted in events rather than requests, since events are
the load on Kafka and the workers; reads are counted in requests, and only for keys with a limit.
Quotas are kept in memory: N processes allow N times as much, and a restart resets them. The load
balancer bounds the total.

Windows are fixed: one begins with a caller's first event or request and lasts the limit's period,
so the whole quota is available after `Retry-After`. Around the end of a window, up to twice the
quota passes. With a sliding window, full requests would wait for two windows.
"""

import asyncio
import dataclasses
import math
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.failures import problem_response
from api.http.problems import OVERLOADED, RATE_LIMITED, Problem

MAX_READS: Final = 256
"""At 4,000 answers a second, the rate of one core, the last one is answered after 64 ms: within the
promised 250 ms, with room for Redis."""
MAX_WRITES: Final = 64
"""With up to 1,000 messages each, they fit into librdkafka's queue of 100,000; with up to 1 MiB
each, they take a few hundred MB at most as messages."""
MAX_ARRIVING: Final = 1024
"""Bodies that are still arriving. Each may have another 64 KiB buffered in the server."""
MAX_ARRIVING_OF_A_CLIENT: Final = 128
MAX_ARRIVING_BYTES: Final = 64 * 1024 * 1024
"""Received of all of them together."""

_REFUSED_AFTER_S: Final = (0.1, 0.2)
"""A rejection is sent at a random time in this range, well within the promised 250 ms. Clients that
retry without a pause would otherwise keep the server busy with rejections."""
_TOO_MANY: Final = 429
_WATCHED: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Monitoring must answer under overload most of all."""
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True)
class _Gate:
    limit: int
    under_way: int = 0

    def check(self) -> None:
        """Raise a Problem if there is no place."""
        if self.under_way >= self.limit:
            detail = f"{self.limit} requests are in flight already: try again in a second"
            raise Problem(OVERLOADED, detail)

    def enter(self) -> None:
        """Take a place; Problem if there is none."""
        self.check()
        self.under_way += 1


class _Bodies:
    """Bodies that are still arriving."""

    def __init__(self) -> None:
        self.of_clients: Counter[str] = Counter()
        self.bytes = 0

    def begin(self, client: str) -> None:
        """Count a body; Problem if there are too many."""
        own = self.of_clients[client] >= MAX_ARRIVING_OF_A_CLIENT
        if own or self.of_clients.total() >= MAX_ARRIVING:
            limit = MAX_ARRIVING_OF_A_CLIENT if own else MAX_ARRIVING
            of_whom = " of this client" if own else ""
            raise Problem(OVERLOADED, f"{limit} bodies{of_whom} are still arriving: try later")
        self.of_clients[client] += 1

    def end(self, client: str) -> None:
        """Forget a body."""
        self.of_clients[client] -= 1
        if not self.of_clients[client]:
            del self.of_clients[client]


class _Write:
    """A write: first its body arrives, then it takes a place."""

    def __init__(self, gate: _Gate, bodies: _Bodies, scope: Scope) -> None:
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


class _Read:
    """A read, which takes a place from the start."""

    def __init__(self, gate: _Gate) -> None:
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
    """Passes at most `MAX_READS` reads and `MAX_WRITES` writes at a time on to `app`.

    A request is in flight until its answer begins. From then on, a stream of events no longer
    counts: it mostly waits, and has its own bound.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._reads = _Gate(MAX_READS)
        self._writes = _Gate(MAX_WRITES)
        self._bodies = _Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] != "http" or scope["path"] in _WATCHED:
            await self._app(scope, receive, send)
            return
        is_read = scope["method"] in _READS
        under_way = _Read(self._reads) if is_read else _Write(self._writes, self._bodies, scope)
        try:
            under_way.begin()
        except Problem as problem:
            await _rest()
            await problem_response(Request(scope), problem)(scope, receive, send)
            return
        await self._pass(under_way, scope, receive, send)

    async def _pass(
        self, under_way: _Read | _Write, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def taking() -> Message:
            message = await receive()
            under_way.take(message)
            return message

        async def leaving(message: Message) -> None:
            if message["type"] == "http.response.start":
                under_way.leave()
                if message["status"] == _TOO_MANY:
                    await _rest()
            await send(message)

        try:
            await self._app(scope, taking, leaving)
        finally:
            under_way.leave()


async def _rest() -> None:
    """Wait for a random time before a rejection is sent."""
    await asyncio.sleep(random.uniform(*_REFUSED_AFTER_S))  # noqa: S311 (it spreads them)


def client_of(scope: Scope) -> str:
    """Return the address of a request's client, as reported by a trusted proxy."""
    client = scope.get("client")
    return client[0] if client else ""


class _Quota:
    """Each caller's remaining quota in its window."""

    unit = ""
    """what is counted"""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())

    def take(self, caller: str, limit: RateLimitItem, n: int) -> None:
        """Take `n` from a caller's quota.

        Raises:
            Problem: fewer are left; none is taken then.
        """
        if not self._windows.test(limit, caller, cost=n):
            raise self._used_up(caller, limit)
        self._windows.hit(limit, caller, cost=n)

    def _used_up(self, caller: str, limit: RateLimitItem) -> Problem:
        ends_s = self._windows.get_window_stats(limit, caller).reset_time
        wait_s = max(1, math.ceil(ends_s - time.time()))
        most, window_s = limit.amount, limit.get_expiry()
        detail = f"At most {most} {self.unit} in {window_s} s: try again after {wait_s} s"
        kind = dataclasses.replace(RATE_LIMITED, retry_after_s=wait_s)
        return Problem(kind, detail, limit=most, window_s=window_s)


class ReadQuota(_Quota):
    """The requests that each key with a limit may still make."""

    unit = "requests"

    def spend(self, reader: str, limit: RateLimitItem) -> None:
        """Count a request of a reader; Problem if none is left."""
        self.take(reader, limit, 1)


class WriteQuota(_Quota):
    """The events that each writer may still send."""

    unit = "events"

    def __init__(self, limit: RateLimitItem) -> None:
        """Apply `limit` to writers without a limit of their own."""
        super().__init__()
        self._limit = limit

    def spend(self, writer: str, events: int, own: RateLimitItem | None = None) -> None:
        """Count `events` of a writer, by its `own` limit if it has one; Problem as for `take`."""
        self.take(writer, own or self._limit, events)
