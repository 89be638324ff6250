"""Load shedding: how many requests may be in flight, and when those above that are rejected.

An overloaded server otherwise makes all clients wait, and works on answers that nobody is waiting
for any more. The hot path (`api.hot`) and the framework's routes (`api.http.load_shedding`) have
gates of their own, and reject in the same way.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Final

from starlette.types import Scope

from api.http.problems import OVERLOADED, Problem

MAX_READS: Final = 256
"""At 4,000 answers a second, the rate of one core, the last one is answered after 64 ms: within the
promised 250 ms, with room for Redis."""
MAX_WRITES: Final = 64
"""The queue of librdkafka has room for all of their messages."""

REFUSED_AFTER_S: Final = 0.15
"""A rejection is sent so long after the request came, well within the promised 250 ms. Clients that
retry without a pause would otherwise keep the server busy with rejections."""
_TOGETHER_S: Final = 0.005
"""Rejections that are due within it are sent together."""
WATCHED: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Their requests are never rejected: monitoring must answer under overload most of all."""


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
    """Limits open streams or incomplete bodies per client, by its address and its key."""

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


def client_of(scope: Scope) -> str:
    """Return the address of a request's client, as reported by a trusted proxy."""
    client = scope.get("client")
    return client[0] if client else ""
