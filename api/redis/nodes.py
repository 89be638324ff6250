"""The connections to a store: to its one node, or to each master of a cluster.

They are made, and made anew, in the background: a command has a connection or fails at once.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from api.redis.address import Address, Node
from api.redis.connection import Connection, ErrorAnswer, NotConnectedError
from api.redis.turns import Turns

_CONNECT_TIMEOUT_S: Final = 1.0
_RETRY_FROM_S: Final = 0.02
_RETRY_TO_S: Final = 0.5

_log = logging.getLogger(__name__)


class Nodes:
    """Knows which connection a key's commands take."""

    def __init__(self, url: str, on_failure: Callable[[], None]) -> None:
        """Connect nowhere yet; `on_failure` is called each time that a connection is not made."""
        self._url = url
        self._on_failure = on_failure
        self._connections: dict[Node, Connection] = {}
        self._single: Connection | None = None
        self._by_slot: list[Node] = []
        """Of a cluster: the master of each slot."""
        self.turns = Turns()
        self._trouble = asyncio.Event()
        self._away_since: float | None = None

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Try once, then go on trying in the background; disconnect after the block."""
        address = await self._first_try()
        keeping = asyncio.create_task(self._keep(address))
        try:
            yield
        finally:
            keeping.cancel()
            for connection in [*self._connections.values()]:
                connection.close()

    def connection_of(self, key: str | bytes) -> Connection:
        """Return the connection that commands on `key` take.

        Raises:
            NotConnectedError: there is none at present.
        """
        if self._single is not None:
            return self._single
        if not self._by_slot:
            raise NotConnectedError("not connected")
        return self.connection_to(self._by_slot[key_slot(_bytes(key))])

    def connection_to(self, node: Node) -> Connection:
        """Return the connection to a node of the cluster.

        Raises:
            NotConnectedError: there is none at present.
        """
        try:
            return self._connections[node]
        except KeyError:
            self._trouble.set()
            raise NotConnectedError(f"not connected to {node.host}:{node.port}") from None

    def connections(self) -> list[Connection]:
        """Return all that there are."""
        return [*self._connections.values()]

    def moved(self) -> None:
        """Ask the cluster anew which master has which slot: one of them said it has not."""
        self._trouble.set()

    async def _first_try(self) -> Address | None:
        try:
            address = Address.of_url(self._url)
        except ValueError as error:
            _log.error("REDIS_URL: %s", error)
            return None
        await self._try(address)
        return address

    async def _keep(self, address: Address | None) -> None:
        if address is None:  # there can be no such store: every answer is a 503 that says so
            return
        wait_s = _RETRY_FROM_S
        while True:
            if not self._trouble.is_set():
                wait_s = _RETRY_FROM_S
            await self._trouble.wait()
            await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311 (spreads retries)
            wait_s = min(2 * wait_s, _RETRY_TO_S)
            await self._try(address)

    async def _try(self, address: Address) -> None:
        """Connect wherever a connection is missing; leave `_trouble` set if that fails."""
        self._trouble.clear()
        try:
            await self._connect_all(address)
        except (OSError, TimeoutError, ErrorAnswer, NotConnectedError) as error:
            self._failed(f"{type(error).__name__}: {error}" if str(error) else "no answer")
        else:
            self._succeeded()

    async def _connect_all(self, address: Address) -> None:
        connection, node = await self._any_connection(address)
        if "cluster_enabled:1" not in (await _within(connection.ask("INFO", "cluster"))).decode():
            self._single = connection
            return
        slots = await _within(connection.ask("CLUSTER", "SLOTS"))
        self._by_slot, masters = _masters(slots, node)
        for gone in self._connections.keys() - masters:
            self._connections[gone].close()
        missing = [address.at(node) for node in masters - self._connections.keys()]
        made = await asyncio.gather(*map(self._connect, missing), return_exceptions=True)
        for outcome in made:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _any_connection(self, address: Address) -> tuple[Connection, Node]:
        """Return a connection that can be asked about the cluster, a new one if there is none."""
        for node, connection in self._connections.items():
            return connection, node
        return await self._connect(address), address.node

    async def _connect(self, address: Address) -> Connection:
        connection = await address.connect(self._lost, _CONNECT_TIMEOUT_S)
        self._connections[address.node] = connection
        return connection

    def _lost(self, connection: Connection) -> None:
        for node, known in [*self._connections.items()]:
            if known is connection:
                del self._connections[node]
                self._single = None
                self._trouble.set()

    def _failed(self, reason: str) -> None:
        self._trouble.set()
        self._on_failure()
        if self._away_since is None:
            self._away_since = asyncio.get_running_loop().time()
            _log.error("Redis is away: %s; answering 503 until it is back", reason)

    def _succeeded(self) -> None:
        if self._away_since is not None:
            away_s = asyncio.get_running_loop().time() - self._away_since
            _log.info("Redis is back after %.1f s", away_s)
            self._away_since = None


async def _within(asking: Any) -> Any:
    async with asyncio.timeout(_CONNECT_TIMEOUT_S):
        return await asking


def _masters(slots: list[Any], asked: Node) -> tuple[list[Node], set[Node]]:
    """Return the master of each slot, and all masters, out of an answer to `CLUSTER SLOTS`.

    Raises:
        NotConnectedError: a slot has no master.
    """
    by_slot: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, (host, port, *_), *_replicas in slots:
        # A node that does not know its own name leaves it to who asked.
        node = Node(host.decode() if host else asked.host, port)
        by_slot[first : last + 1] = [node] * (last + 1 - first)
    owned = [node for node in by_slot if node is not None]
    if len(owned) < REDIS_CLUSTER_HASH_SLOTS:
        missing = REDIS_CLUSTER_HASH_SLOTS - len(owned)
        raise NotConnectedError(f"{missing} slots of the cluster have no master")
    return owned, set(owned)


def _bytes(key: str | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.encode()
