"""Follows the workers' changes for all listeners of a process, over one subscription.

A new listener first receives changes and then a snapshot, so it misses nothing in between. If the
subscription is lost, each listener is notified once that it is stale; when it is back, each gets a
new snapshot.

The subscription is to sharded channels of Redis, on a single node or on the nodes of a cluster.
redis-py's own subscriptions reconnect by themselves without reporting the loss, so messages are
missed silently, and they wait for the nodes of a cluster in turn. Here, a lost subscription raises
an error, and all is subscribed again, which looks up each channel's node again.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError

from api.http.metrics import LiveMetrics
from api.live.answers import stale_frame
from api.live.board import Board
from api.live.listener import Listener, Subscriptions
from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from contracts.bar_messages import ChangedBar, decode_changed_bars
from contracts.keyspace import NEWEST_FIELD
from contracts.partitioning import instrument_partition
from runtime.redis.stores import UNAVAILABLE, AsyncStore, connect_async
from runtime.topology import TopologyError

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


class NodeSubscription:
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
    async def subscribed(self, channels: Sequence[str]) -> AsyncIterator[list[NodeSubscription]]:
        """Subscribe to all channels for the block.

        Raises:
            redis.exceptions.RedisError: Redis is down, or denies access.
        """
        async with AsyncExitStack() as stack:
            subscriptions = []
            for connection, its in (await self._connections(channels)).items():
                stack.push_async_callback(connection.disconnect, nowait=True)
                await connection.connect()  # type: ignore[no-untyped-call]
                subscription = NodeSubscription(connection)
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


_INSTRUMENTS_A_READ: Final = 500
"""Few enough for a read's deadline, even if Redis and this process are busy."""
_RETRY_FROM_S: Final = 0.05
_RETRY_TO_S: Final = 1.0
_LOST: Final[tuple[type[Exception], ...]] = (RedisError, *UNAVAILABLE, OSError, TopologyError)
"""Redis is down, or denies access, or has no topics yet: worth a retry."""

_log = logging.getLogger(__name__)


class _Newcomer(NamedTuple):
    """A listener that waits for the snapshot of some of its subscriptions."""

    listener: Listener
    subscriptions: Subscriptions


class Follower:
    """The subscription of one process, and the snapshots of its listeners."""

    def __init__(
        self,
        url: str,
        store: Store,
        listeners: Collection[Listener],
        metrics: LiveMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        """Serve `listeners`, which come and go."""
        self.board = Board(now_ms)
        self.trouble: Exception | None = None
        """why there is no subscription"""
        self._store = store
        self._listeners = listeners
        self._metrics = metrics
        self._channels = Channels(url)
        self._newcomers: list[_Newcomer] = []
        self._came = asyncio.Event()
        self._retry_s = _RETRY_FROM_S

    def welcome(self, listener: Listener, subscriptions: Subscriptions) -> None:
        """Give a listener the snapshot of some of its subscriptions, as soon as it can be read."""
        self._newcomers.append(_Newcomer(listener, subscriptions))
        self._came.set()

    async def run(self) -> None:
        """Subscribe, and resubscribe whenever the subscription is lost."""
        while True:
            try:
                await self._be_subscribed()
            except* _LOST as lost:
                self._interrupt(lost.exceptions[0])
            await asyncio.sleep(self._retry_s * random.uniform(0.5, 1))  # noqa: S311 (spreads retries)
            self._retry_s = min(2 * self._retry_s, _RETRY_TO_S)

    async def _be_subscribed(self) -> None:
        """Pass on changes until the subscription is lost."""
        topology = await self._store.answer(self._store.read_topology())
        channels = [self._store.keys.bars_changed(p) for p in range(topology.quotes)]
        async with self._channels.subscribed(channels) as subscriptions:
            self._retry_s, self.trouble = _RETRY_FROM_S, None
            self.board.forget_bars()
            self._newcomers = [_Newcomer(each, each.subscribed) for each in self._listeners]
            self._came.set()
            async with asyncio.TaskGroup() as tasks:
                for subscription in subscriptions:
                    tasks.create_task(self._take_from(subscription))
                tasks.create_task(self._welcome())

    async def _take_from(self, subscription: NodeSubscription) -> None:
        async for message in subscription.messages():
            if self._listeners:
                self.board.take(decode_changed_bars(message))
            # Buffered messages are read without waiting: let other tasks run in between.
            await asyncio.sleep(0)

    async def _welcome(self) -> None:
        """Give new listeners their snapshots: one read serves all that came during the last."""
        while True:
            await self._came.wait()
            self._came.clear()
            newcomers, self._newcomers = self._newcomers, []
            try:
                await self._read(list({i for each in newcomers for _, i in each.subscriptions}))
            except StoreUnavailableError as error:
                self.trouble = error
                self._newcomers += newcomers
                self._came.set()
                await asyncio.sleep(_RETRY_FROM_S)
                continue
            for newcomer in newcomers:
                newcomer.listener.ready.set()
                self._begin(newcomer)

    async def _read(self, instruments: Sequence[int]) -> None:
        for first in range(0, len(instruments), _INSTRUMENTS_A_READ):
            some = instruments[first : first + _INSTRUMENTS_A_READ]
            self.board.take_snapshot(await self._store.answer(_newest_bars(self._store, some)))

    def _begin(self, newcomer: _Newcomer) -> None:
        listener, subscriptions = newcomer
        if listener in self._listeners:  # else it left during the read
            still, board = subscriptions & listener.subscribed, self.board
            listener.begin(still, board.newest_bars(still), board.newest_quotes(still))

    def _interrupt(self, error: Exception) -> None:
        """Notify listeners with a snapshot that they miss changes from here on."""
        if isinstance(error, NoPermissionError) and str(error) != str(self.trouble):
            _log.error("no live bars: %s", error)
        self.trouble = error
        n_live = sum(listener.is_live for listener in self._listeners)
        if n_live:
            self._metrics.interruptions.inc()
            _log.warning("%d streams are stale: %s", n_live, error)
        for listener in self._listeners:
            listener.interrupt(stale_frame("redis-away"))


def _newest_bars(store: Store, instruments: Sequence[int]) -> Read[list[ChangedBar]]:
    """Return the newest bar of each instrument that has one."""
    topology = yield from store.topology()
    keys = [store.keys.bars(instrument_partition(i, topology.quotes), i) for i in instruments]
    newest = yield [("HGET", key, NEWEST_FIELD) for key in keys]
    known = [
        (instrument_id, key, minute)
        for instrument_id, key, minute in zip(instruments, keys, newest, strict=True)
        if minute is not None
    ]
    if not known:
        return []
    values = yield [("HGET", key, minute) for _, key, minute in known]
    return [
        ChangedBar(instrument_id, int(minute), value.decode())
        for (instrument_id, _, minute), value in zip(known, values, strict=True)
        if value is not None  # expired in between: a newer one comes with the changes
    ]
