"""The connections to a store: to its single node, its master, or each master of a cluster.

They are opened and reopened in the background: a command has a connection or fails at once.
"""

import asyncio
import logging
import random
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from api.redis.address import Address, Node, Sentinels
from api.redis.connection import Connection, ErrorAnswer, NotConnectedError
from runtime.redis.refusals import (
    StoreRefusesError,
    not_encrypted,
    not_let_in,
    refused,
    warnings_of,
)
from runtime.redis.url import StoreUrl

_CONNECT_TIMEOUT_S: Final = 1.0
_RETRY_FROM_S: Final = 0.02
_RETRY_TO_S: Final = 0.5
_SECTIONS: Final = ("cluster", "replication", "memory", "persistence")
"""Sections of `INFO`: the role of the node, and its persistence and eviction."""
_LOGIN: Final = re.compile("WRONGPASS|NOAUTH|ERR AUTH")
"""The start of a node's answer to a failed login."""

COMMANDS_AT_ONCE: Final = 512
"""Commands of all rounds in progress: some 5 ms of work for Redis and this process. Ordinary reads
of lists, of tens of commands, fit in side by side, however long a round trip is."""

_log = logging.getLogger(__name__)


class Waiting(Protocol):
    """A round that waits for its turn."""

    over: bool
    """whether it no longer needs a turn"""

    def take_turn(self) -> None:
        """Send the commands; must not raise. Call `leave` when all are answered, or at the end."""


class Turns:
    """Rounds of many commands, a few at a time, first come, first served; all others go ahead.

    A read of a hundred keys keeps Redis and then this process busy for milliseconds. With hundreds
    of them at once, every request would wait for all of them, as a connection answers in order.
    Rounds that wait have sent nothing yet, so one that times out has cost little.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Waiting, int]] = deque()
        self._under_way = 0
        """Commands."""

    def enter(self, one: Waiting, commands: int) -> None:
        """Queue a round of `commands` commands; it is sent at once if there is room."""
        self._waiting.append((one, commands))
        self._next()

    def leave(self, commands: int) -> None:
        """End a turn; the next one begins after other tasks have run on the loop."""
        self._under_way -= commands
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            one, commands = self._waiting[0]
            if self._under_way and self._under_way + commands > COMMANDS_AT_ONCE:
                return
            self._waiting.popleft()
            if not one.over:
                self._under_way += commands
                one.take_turn()


class Nodes:
    """Maps keys to connections."""

    def __init__(self, url: str, on_failure: Callable[[], None]) -> None:
        """Prepare without connecting; `on_failure` is called whenever a connection fails."""
        self._url = StoreUrl.of(url)
        self._sentinels = Sentinels(self._url) if self._url.sentinels else None
        self._on_failure = on_failure
        self._connections: dict[Node, Connection] = {}
        self._single: Connection | None = None
        self._by_slot: list[Node] = []
        """The master of each slot of a cluster."""
        self.turns = Turns()
        self._trouble = asyncio.Event()
        self._away_since: float | None = None
        self._said_evicting = False
        self._said_refused: set[str | bytes | int] = set()

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Try once, then keep trying in the background; disconnect after the block."""
        await self._try()
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            for connection in [*self._connections.values()]:
                connection.close()

    def connection_of(self, key: str | bytes) -> Connection:
        """Return the connection for commands on `key`.

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
            raise NotConnectedError("not connected to one of its nodes") from None

    def connections(self) -> list[Connection]:
        """Return all connections."""
        return [*self._connections.values()]

    def without_right(
        self, answer: ErrorAnswer, command: Sequence[str | bytes | int]
    ) -> ErrorAnswer:
        """Return a NOPERM error that names the user and the right; log a command's first."""
        why = refused(answer, self._url.user, command)
        if command[0] not in self._said_refused:
            self._said_refused.add(command[0])
            _log.error("%s", why)
        return ErrorAnswer(f"NOPERM {why}")

    def moved(self) -> None:
        """Reload the slots of the cluster, after a node answered that one has moved."""
        self._trouble.set()

    async def _keep(self) -> None:
        wait_s = _RETRY_FROM_S
        while True:
            if not self._trouble.is_set():
                wait_s = _RETRY_FROM_S
            await self._trouble.wait()
            await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311 (spreads retries)
            wait_s = min(2 * wait_s, _RETRY_TO_S)
            await self._try()

    async def _try(self) -> None:
        """Open the missing connections; leave `_trouble` set if that fails."""
        self._trouble.clear()
        try:
            await self._connect_all()
        except (OSError, TimeoutError, ErrorAnswer, NotConnectedError) as error:
            self._failed(self._reason(error))
        else:
            self._succeeded()

    def _reason(self, error: Exception) -> str:
        if isinstance(error, ErrorAnswer) and _LOGIN.match(str(error)):
            return not_let_in(self._url, error)
        if isinstance(error, ErrorAnswer) and error.kind == "NOPERM":
            return refused(error, self._url.user, ())
        if isinstance(error, ssl.SSLError):
            return not_encrypted(self._url, error)
        return f"{type(error).__name__}: {error}" if str(error) else "no answer"

    async def _connect_all(self) -> None:
        address = Address.of_options(self._url.options)  # each time: certificates may have been
        # renewed
        connection, node = await self._any_connection(address)
        info = _fields(await _within(connection.ask("INFO", *_SECTIONS)))
        self._check_kept(info)
        if self._sentinels is not None and info.get("role") != "master":
            connection.close()  # the others have noticed it, or will do so in a moment
            raise NotConnectedError(f"{node.host}:{node.port} is not a master")
        if info.get("cluster_enabled") != "1":
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

    def _check_kept(self, info: Mapping[str, str]) -> None:
        """Log once if the store may evict keys: reads do no further harm."""
        try:
            warnings_of(info)
        except StoreRefusesError as error:
            if not self._said_evicting:
                _log.error("%s", error)
            self._said_evicting = True

    async def _any_connection(self, address: Address) -> tuple[Connection, Node]:
        """Return a connection for queries about the store, a new one if there is none."""
        for node, connection in self._connections.items():
            return connection, node
        if self._sentinels is not None:
            address = address.at(await self._sentinels.master(_CONNECT_TIMEOUT_S))
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
            _log.error("Redis is down: %s; answering 503 until it is back", reason)

    def _succeeded(self) -> None:
        if self._away_since is not None:
            away_s = asyncio.get_running_loop().time() - self._away_since
            _log.info("Redis is back after %.1f s", away_s)
            self._away_since = None


async def _within(asking: Any) -> Any:
    async with asyncio.timeout(_CONNECT_TIMEOUT_S):
        return await asking


def _fields(info: bytes) -> dict[str, str]:
    """Parse an answer to `INFO`."""
    lines = (line.partition(":") for line in info.decode().splitlines())
    return {name: value for name, separator, value in lines if separator}


def _masters(slots: list[Any], asked: Node) -> tuple[list[Node], set[Node]]:
    """Return the master of each slot, and all masters, from an answer to `CLUSTER SLOTS`.

    Raises:
        NotConnectedError: a slot has no master.
    """
    by_slot: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, (host, port, *_), *_replicas in slots:
        # A node that does not know its own name leaves it empty.
        node = Node(host.decode() if host else asked.host, port)
        by_slot[first : last + 1] = [node] * (last + 1 - first)
    owned = [node for node in by_slot if node is not None]
    if len(owned) < REDIS_CLUSTER_HASH_SLOTS:
        missing = REDIS_CLUSTER_HASH_SLOTS - len(owned)
        raise NotConnectedError(f"{missing} slots of the cluster have no master")
    return owned, set(owned)


def _bytes(key: str | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.encode()
