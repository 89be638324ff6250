"""Addresses and credentials of a store: of its node, or of the master that Sentinels name."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from redis import connection as of_redis
from redis.asyncio.connection import SSLConnection

from api.redis.connection import Connection, ErrorAnswer, NotConnectedError
from runtime.redis.url import StoreUrl

CLIENT_NAME = "api"
"""As `CLIENT LIST` shows these connections."""


class Node(NamedTuple):
    """Host and port of a node."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Address:
    """One node, and the credentials and TLS options for it.

    >>> Address.of_options({"host": "127.0.0.1", "port": 7000, "password": "secret"}).node
    Node(host='127.0.0.1', port=7000)
    """

    node: Node
    socket_path: str | None
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    db: int

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> "Address":
        """Return the address in redis-py's connection options."""
        tls = None
        if options.get("connection_class") is of_redis.SSLConnection:
            of_tls = {key: value for key, value in options.items() if key.startswith("ssl_")}
            tls = SSLConnection(**of_tls).ssl_context.get()
        return cls(
            node=Node(options.get("host", "localhost"), options.get("port", 6379)),
            socket_path=options.get("path"),
            tls=tls,
            username=options.get("username"),
            password=options.get("password"),
            db=options.get("db", 0),
        )

    def at(self, node: Node) -> "Address":
        """Return the address of another node of the same store."""
        return replace(self, node=node, socket_path=None)

    async def connect(self, on_lost: Callable[[Connection], None], timeout_s: float) -> Connection:
        """Return an authenticated connection.

        Raises:
            OSError, TimeoutError: the node is down, or does not answer.
            ErrorAnswer: the node rejects the credentials, or is loading its data.
        """
        async with asyncio.timeout(timeout_s):
            connection = await self._open(on_lost)
            try:
                await self._be_let_in(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    async def _open(self, on_lost: Callable[[Connection], None]) -> Connection:
        loop = asyncio.get_running_loop()
        if self.socket_path is not None:
            _, connection = await loop.create_unix_connection(
                lambda: Connection(on_lost), self.socket_path
            )
        else:
            _, connection = await loop.create_connection(
                lambda: Connection(on_lost), *self.node, ssl=self.tls
            )
        return connection

    async def _be_let_in(self, connection: Connection) -> None:
        if self.username or self.password:
            user = [self.username] if self.username else []
            await connection.ask("AUTH", *user, self.password or "")
        if self.db:
            await connection.ask("SELECT", self.db)
        await connection.ask("CLIENT", "SETNAME", CLIENT_NAME)


class Sentinels:
    """The Sentinels of one store."""

    def __init__(self, url: StoreUrl) -> None:
        """Take a URL that names at least one."""
        login = Address.of_options(url.sentinel_options or {})
        self._addresses = [login.at(Node(*host)) for host in url.sentinels]
        self._service = url.service

    async def master(self, timeout_s: float) -> Node:
        """Return the master, from the first Sentinel that answers and knows it.

        Args:
            timeout_s: for each of them.

        Raises:
            NotConnectedError: none does; lists the reason of each.
        """
        reasons = []
        for address in [*self._addresses]:
            try:
                connection = await address.connect(_forget, timeout_s)
                master = await self._named_by(connection, timeout_s)
            except (OSError, TimeoutError, ErrorAnswer, NotConnectedError) as error:
                reasons.append(f"{address.node.host}:{address.node.port}: {error or 'no answer'}")
                continue
            # The one that answered is tried first next time.
            self._addresses.remove(address)
            self._addresses.insert(0, address)
            return master
        raise NotConnectedError("no Sentinel names a master: " + "; ".join(reasons))

    async def _named_by(self, connection: Connection, timeout_s: float) -> Node:
        try:
            async with asyncio.timeout(timeout_s):
                named = await connection.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        finally:
            connection.close()
        if named is None:
            raise NotConnectedError(f"knows no service {self._service}")
        host, port = named
        return Node(host.decode(), int(port))


def _forget(_: Connection) -> None:
    """Ignore the loss: the connection is closed after one answer."""
