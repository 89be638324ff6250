"""Finds the master through Sentinels."""

import asyncio

from api.redis.address import Address, Node
from api.redis.connection import Connection, ErrorAnswer, NotConnectedError
from runtime.redis.url import StoreUrl


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
