"""The interface of the routes and the hot path to Redis: reads that always end within a deadline.

A read ends with `StoreUnavailableError` if there is no connection, if it is not answered in time,
or if too many are waiting already. A connection that is silent for as long as the deadline, though
a command is waiting, is closed and reopened: until then reads fail at once, so if Redis hangs, only
a few reads wait for their deadline.
"""

from __future__ import annotations  # else annotations of inner functions are evaluated at each call

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from prometheus_client import Counter

from api.redis.connection import ErrorAnswer, NotConnectedError, TooManyCommandsError
from api.redis.nodes import Nodes
from api.redis.reading import Done, Read, Reading
from contracts.keyspace import Keyspace
from runtime.topology import Topology

T = TypeVar("T")

READ_DEADLINE_S: Final = 0.2
"""For all reads of one answer: leaves 50 ms of the promised 250 for everything else."""
_LOOK_EVERY_S: Final = 0.01
"""How late a deadline may be noticed."""

_log = logging.getLogger(__name__)


class StoreUnavailableError(ConnectionError):
    """Redis is down or too slow."""


class Store:
    """Runs reads on one store."""

    def __init__(self, url: str, namespace: str, errors: Counter) -> None:
        self.keys = Keyspace(namespace)
        self._errors = errors
        self._nodes = Nodes(url, lambda: self._errors.labels("connection").inc())
        self._open: deque[Reading[Any]] = deque()
        """Reads in flight, oldest first; ended ones are removed when they are checked."""
        self._looking: asyncio.TimerHandle | None = None
        self._look_at = 0.0
        self._looking_again = False
        self._topology: Topology | None = None

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Connect, or keep trying in the background; disconnect after the block."""
        async with self._nodes.connecting():
            yield
        if self._looking is not None:
            self._looking.cancel()

    def start(self, read: Read[T], done: Done[T]) -> None:
        """Run a read; `done` receives its result, its exception, or the failure of Redis.

        `done` is called exactly once, within `READ_DEADLINE_S`, and must not raise.
        """
        loop = asyncio.get_running_loop()
        reading = Reading(read, self._nodes, done, self._translated, loop.time())
        reading.start()
        if not reading.over:
            self._open.append(reading)
            if self._looking is None:
                self._look_in(loop, _LOOK_EVERY_S)

    async def answer(self, read: Read[T]) -> T:
        """Run a read and return what it returns.

        Raises:
            StoreUnavailableError: Redis is down or too slow; or any exception of the read.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T | None, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        self.start(read, done)
        return await future

    def topology(self) -> Read[Topology]:
        """Return the partitions of the topics, which are read once.

        Raises:
            TopologyError: they are missing.
        """
        if self._topology is None:
            return (yield from self.read_topology())
        return self._topology

    def read_topology(self) -> Read[Topology]:
        """Read the partitions of the topics, for this and the following reads.

        Raises:
            TopologyError: they are missing.
        """
        (flat,) = yield [("HGETALL", self.keys.topics())]
        fields = [field.decode() for field in flat]
        self._topology = Topology.from_hash(dict(zip(fields[::2], fields[1::2], strict=True)))
        return self._topology

    def _look(self) -> None:
        """End reads that are past their deadline, and close connections that hang."""
        loop = asyncio.get_running_loop()
        if not self._looking_again and loop.time() > self._look_at + _LOOK_EVERY_S:
            # The loop was busy. Answers may have arrived: let it process them first.
            self._look_in(loop, 0.001, again=True)
            return
        latest = loop.time() - READ_DEADLINE_S
        late = StoreUnavailableError(f"no answer in {READ_DEADLINE_S:g} s")
        for connection in self._nodes.connections():
            if connection.waiting and connection.heard_at < latest:
                connection.close(late)
        waiting = self._open
        while waiting and (waiting[0].over or waiting[0].started_at < latest):
            reading = waiting.popleft()
            if not reading.over:
                reading.fail(late)
        if waiting:
            self._look_in(loop, _LOOK_EVERY_S)
        else:
            self._looking = None

    def _look_in(
        self, loop: asyncio.AbstractEventLoop, wait_s: float, *, again: bool = False
    ) -> None:
        self._looking_again = again
        self._look_at = loop.time() + wait_s
        self._looking = loop.call_later(wait_s, self._look)

    def _translated(self, error: Exception) -> Exception:
        """Translate and count a failure of Redis; return any other error unchanged."""
        if isinstance(error, StoreUnavailableError):
            self._errors.labels("timeout").inc()
            return error
        if isinstance(error, TooManyCommandsError):
            self._errors.labels("overload").inc()
        elif isinstance(error, NotConnectedError):
            self._errors.labels("connection").inc()
        elif isinstance(error, ErrorAnswer) and error.is_refusal:
            self._errors.labels("refused").inc()
        else:
            return error
        return StoreUnavailableError(str(error))
