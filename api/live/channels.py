"""Subscriptions to sharded channels of Redis, on a single node or on the nodes of a cluster.

redis-py's own subscriptions reconnect by themselves without reporting the loss, so messages are
missed silently, and they wait for the nodes of a cluster in turn. Here, a lost subscription raises
an error, and the caller subscribes again, which looks up each channel's node again.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from runtime.redis.stores import AsyncStore, connect_async

CLIENT_NAME: Final = "api-live"
"""As `CLIENT LIST` shows these connections."""
QUIET_S: Final = 1.0
"""After so long without a message, a node is pinged; it has as long to answer."""
_TIMEOUT_S: Final = 1.0
_OF_SUBSCRIPTIONS: Final[dict[str, Any]] = {
    "client_name": CLIENT_NAME,
    "decode_responses": False,
    "protocol": 2,
    "retry": Retry(NoBackoff(), 0),
    "socket_timeout": _TIMEOUT_S,
    "socket_connect_timeout": _TIMEOUT_S,
}


class SubscriptionLostError(RedisConnectionError):
    """A node does not answer, or no longer owns a channel."""


class Subscription:
    """The channels of one node."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Return once all of them are subscribed.

        Raises:
            redis.exceptions.RedisError: the node does not own them, or denies access.
        """
        for channel in channels:  # one per command: they are in different slots
            await self._connection.send_command("SSUBSCRIBE", channel)
        for _ in channels:
            await self._connection.read_response()

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield each message, for as long as the subscription lasts.

        Raises:
            redis.exceptions.RedisError: it is lost.
        """
        asked = False
        while True:
            said = await self._connection.read_response(timeout=QUIET_S, disconnect_on_error=False)
            if said is None:
                if asked:
                    raise SubscriptionLostError(f"no answer in {QUIET_S:g} s")
                await self._connection.send_command("PING", check_health=False)
                asked = True
                continue
            asked = False
            kind, channel, *rest = said
            if kind == b"smessage":
                yield rest[0]
            elif kind == b"sunsubscribe":
                raise SubscriptionLostError(f"{channel.decode()} moved to another node")


class Channels:
    """Subscribes to channels wherever they are."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncStore | None = None
        """Kept, as it knows the nodes of a cluster: the one in the URL may be down."""

    @asynccontextmanager
    async def subscribed(self, channels: Sequence[str]) -> AsyncIterator[list[Subscription]]:
        """Subscribe to all channels for the block.

        Raises:
            redis.exceptions.RedisError: Redis is down, or denies access.
        """
        async with AsyncExitStack() as stack:
            subscriptions = []
            for connection, its in (await self._connections(channels)).items():
                stack.push_async_callback(connection.disconnect, nowait=True)
                await connection.connect()  # type: ignore[no-untyped-call]
                subscription = Subscription(connection)
                await subscription.subscribe(its)
                subscriptions.append(subscription)
            yield subscriptions

    async def _connections(
        self, channels: Sequence[str]
    ) -> dict[AbstractConnection, Sequence[str]]:
        """Return an unopened connection to each node, with the channels that the node owns."""
        client = self._client
        if client is None:
            client = self._client = await connect_async(self._url, CLIENT_NAME, _TIMEOUT_S, 0)
        try:
            if not isinstance(client, RedisCluster):
                pool = client.connection_pool
                return {_connection(pool.connection_class, pool.connection_kwargs): channels}
            await client.initialize()
            by_node = defaultdict(list)
            for channel in channels:
                by_node[client.get_node_from_key(channel)].append(channel)
            return {
                _connection(node.connection_class, node.connection_kwargs): its
                for node, its in by_node.items()
                if node is not None
            }
        finally:
            await client.aclose()  # it is queried each time


def _connection(kind: type[AbstractConnection], options: dict[str, Any]) -> AbstractConnection:
    return kind(**{**options, **_OF_SUBSCRIPTIONS})
