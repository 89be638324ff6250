"""The connection to Redis: made in the background, read within a deadline, never hanging.

Without an answer in time a read ends with `StoreUnavailableError`. After several such in a row one
read at a time finds out whether Redis is back, and the others end at once: reconnecting for each of
them would cost the time that their answers must not take. So the service recovers by itself.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, cast

from redis.exceptions import RedisError

from api.metrics import Metrics
from api.reader import Reader
from contracts.keyspace import Keyspace
from runtime.stores import UNAVAILABLE, AsyncStore, connect_async
from runtime.topology import Topology

READ_DEADLINE_S: Final = 0.2
"""Of all that one answer reads: leaves 50 ms of the promised 250 for everything else."""
CONNECTIONS: Final = 64
"""Reads at a time; more would wait for Redis, which does one thing at a time, all the same."""
AWAY_AFTER: Final = 5
"""As many failures in a row mean that Redis is away, not that one read was slow."""
_RECONNECT_EVERY_S: Final = 0.5
_NO_CONNECTION: Final[tuple[type[Exception], ...]] = (RedisError, *UNAVAILABLE, ValueError)
"""Refused by the network, by the server (permissions), or because there can be no such URL."""

_log = logging.getLogger(__name__)


class StoreUnavailableError(ConnectionError):
    """Redis is away, or too slow."""


class Store:
    """Redis as the routes see it."""

    def __init__(self, url: str, namespace: str, metrics: Metrics) -> None:
        self._url = url
        self._keys = Keyspace(namespace)
        self._metrics = metrics
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._client: AsyncStore | None = None
        self._topology: Topology | None = None
        self._failures = 0
        self._probing = False

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Connect, or go on trying in the background; disconnect after the block."""
        await self._try_to_connect()
        trying = asyncio.create_task(self._keep_trying())
        try:
            yield
        finally:
            trying.cancel()
            if self._client is not None:
                await self._client.aclose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        """Hand out a reader, whose reads together must end within `READ_DEADLINE_S`.

        Raises:
            StoreUnavailableError: they did not, or Redis is away.
            TopologyError: `meta:topics` is missing there.
        """
        try:
            with self._allowed():
                async with asyncio.timeout(READ_DEADLINE_S), self._slots:
                    client = self._connected()
                    topology = self._topology or await self.read_topology()
                    yield Reader(client, self._keys, topology)
        except TimeoutError as error:
            raise self._failed("timeout", f"no answer in {READ_DEADLINE_S:g} s") from error
        except UNAVAILABLE as error:
            raise self._failed("connection", type(error).__name__) from error
        except StoreUnavailableError:
            raise
        except Exception:
            self._answered()  # whatever the reader made of it
            raise
        self._answered()

    async def read_topology(self) -> Topology:
        """Read the partitions of the topics, which the following reads then go by.

        Raises:
            TopologyError: they are missing.
        """
        client = self._connected()
        partitions = cast("dict[str, str]", await client.hgetall(self._keys.topics()))
        self._topology = Topology.from_hash(partitions)
        return self._topology

    @contextmanager
    def _allowed(self) -> Iterator[None]:
        """Let everything pass, or only one read at a time while Redis is away."""
        if self._failures < AWAY_AFTER:
            yield
            return
        if self._probing:
            self._metrics.store_errors.labels("away").inc()
            raise StoreUnavailableError("away")
        self._probing = True
        try:
            yield
        finally:
            self._probing = False

    def _connected(self) -> AsyncStore:
        if self._client is None:
            self._metrics.store_errors.labels("connection").inc()
            raise StoreUnavailableError("not connected yet")
        return self._client

    async def _keep_trying(self) -> None:
        while self._client is None:
            await asyncio.sleep(_RECONNECT_EVERY_S)
            await self._try_to_connect()

    async def _try_to_connect(self) -> None:
        # One retry: a pooled connection that Redis closed meanwhile must not cost an answer.
        try:
            self._client = await connect_async(self._url, "api", READ_DEADLINE_S, retries=1)
        except _NO_CONNECTION as error:
            self._failed("connection", f"{type(error).__name__}: {error}")

    def _answered(self) -> None:
        if self._failures >= AWAY_AFTER:
            _log.info("Redis is back")
        self._failures = 0

    def _failed(self, kind: str, reason: str) -> StoreUnavailableError:
        """Count a failure, and log it when it is the one that means Redis is away."""
        self._metrics.store_errors.labels(kind).inc()
        self._failures += 1
        if self._failures == AWAY_AFTER:
            _log.error("Redis is away: %s; answering 503 until it is back", reason)
        return StoreUnavailableError(reason)
