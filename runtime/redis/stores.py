"""Redis clients for a single node, a cluster, or a master behind Sentinels.

The server at the URL reports whether it is a cluster.
"""

import asyncio
from typing import Any, Final

import hiredis
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.connection import Connection, ConnectionPool
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from runtime.redis.refusals import is_no_right, letting_in, naming_refusals, refused, warnings_of
from runtime.redis.sentinels import master, master_async
from runtime.redis.url import StoreUrl

Store = redis.Redis | redis.RedisCluster
AsyncStore = redis.asyncio.Redis | redis.asyncio.RedisCluster

UNAVAILABLE: Final[tuple[type[Exception], ...]] = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)
"""What the clients raise while Redis is unreachable or fails over: worth a retry."""
REFUSING: Final = (
    "NOREPLICAS", "MISCONF", "OOM", "LOADING", "MASTERDOWN", "TRYAGAIN", "READONLY",
    "BUSY", "CLUSTERDOWN")  # fmt: skip
"""Prefixes of errors while Redis accepts no writes: too few replicas, a full disk, no memory;
redis-py has no class for most of them, nor for those raised in a script."""


def is_away(error: BaseException) -> bool:
    """Return whether a retry may succeed: Redis is unreachable, fails over, or accepts no writes.

    >>> is_away(ResponseError("NOREPLICAS Not enough good replicas to write."))
    True
    >>> is_away(ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"))
    False
    """
    if isinstance(error, AuthenticationError):  # to redis-py it is one of connections
        return False
    if isinstance(error, UNAVAILABLE):
        return True
    return isinstance(error, ResponseError) and str(error).lstrip("-").startswith(REFUSING)


_RETRIED: Final = (RedisConnectionError, RedisTimeoutError)
_RETRIES: Final = 3


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.05, cap=0.5)


def connect(url: str, client_name: str, timeout_s: float = 5) -> Store:
    """Return a client of the store at `url`, whose answers are text.

    Raises:
        redis.exceptions.ConnectionError: nothing answers there.
        StoreRefusesError: it refuses the login.
    """
    where, options = StoreUrl.of(url), _options(client_name, timeout_s)
    retry = Retry(_backoff(), _RETRIES, supported_errors=_RETRIED)
    if where.sentinels:
        single = master(where, retry=retry, **options)
    else:
        single = redis.Redis.from_url(url, retry=retry, **options)
    pool = single.connection_pool
    pool.connection_class = naming_refusals(pool.connection_class)
    with letting_in(where):
        if not single.info("cluster").get("cluster_enabled"):
            return single
        single.close()
        return redis.RedisCluster.from_url(url, connection_pool_class=_RefusalNamingPool, **options)


async def connect_async(
    url: str, client_name: str, timeout_s: float = 5, retries: int = _RETRIES
) -> AsyncStore:
    """Return an asyncio client of the store at `url`, whose answers are text; as `connect`.

    A reader with a deadline of its own needs no retries: they would outlast it.
    """
    where, options = StoreUrl.of(url), _options(client_name, timeout_s)
    retry = AsyncRetry(_backoff(), retries, supported_errors=_RETRIED)
    if where.sentinels:
        single = master_async(where, retry=retry, **options)
    else:
        single = redis.asyncio.Redis.from_url(url, retry=retry, **options)
    pool = single.connection_pool
    pool.connection_class = _packing_in_c(pool.connection_class)
    with letting_in(where):
        if not (await single.info("cluster")).get("cluster_enabled"):
            return single
        await single.aclose()
        cluster = redis.asyncio.RedisCluster.from_url(url, **options)
        nodes = cluster.connection_kwargs
        nodes["connection_class"] = _packing_in_c(nodes["connection_class"])
        await _initialize(cluster)
        return cluster


async def _initialize(cluster: redis.asyncio.RedisCluster) -> None:
    """Discover the nodes, and the commands from one of them.

    redis-py asks the first master, and gives up if it is unreachable: then the next one is first.
    """
    asked = 0
    while True:
        try:
            await cluster.initialize()
        except _RETRIED:
            masters = cluster.get_primaries()
            asked += 1
            if asked >= len(masters):
                raise
            cluster.nodes_manager.move_node_to_end_of_cached_nodes(masters[0].name)
        else:
            return


def check_kept(store: Store) -> list[str]:
    """Return warnings about the store's configuration.

    Raises:
        StoreRefusesError: it may evict what it holds.
    """
    return warnings_of(store.info(*_ON_KEEPING, **every_master(store)))


async def check_kept_async(store: AsyncStore) -> list[str]:
    """Return what `check_kept` returns, or raise what it raises; of those nodes that answer.

    Raises:
        redis.exceptions.RedisError: none does, or one fails though it is reachable.
    """
    if isinstance(store, redis.asyncio.Redis):
        return warnings_of(await store.info(*_ON_KEEPING))
    asked = (store.info(*_ON_KEEPING, target_nodes=[node]) for node in store.get_primaries())
    answers = await asyncio.gather(*asked, return_exceptions=True)
    silent = [answer for answer in answers if isinstance(answer, BaseException)]
    serious = [error for error in silent if not is_away(error)]
    if serious or len(silent) == len(answers):
        raise (serious or silent)[0]
    said = {str(n): answer for n, answer in enumerate(answers) if isinstance(answer, dict)}
    return warnings_of(said)


_ON_KEEPING: Final = ("memory", "persistence")


def every_master(store: Store | AsyncStore) -> dict[str, Any]:
    """Return the arguments that send a command to each node that accepts writes."""
    if isinstance(store, redis.Redis | redis.asyncio.Redis):
        return {}
    return {"target_nodes": store.PRIMARIES}


def _options(client_name: str, timeout_s: float) -> dict[str, Any]:
    return {
        "client_name": client_name,
        "decode_responses": True,
        "driver_info": None,  # else each connection says which library it is, a right more
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }


class _RefusalNamingPool(ConnectionPool):
    def __init__(self, connection_class: type[Any] = Connection, **options: Any) -> None:
        super().__init__(naming_refusals(connection_class), **options)


def _packing_in_c(connection: type[Any]) -> type[Any]:
    """Return the connection class with hiredis packing its commands, as redis-py's sync one does.

    redis-py 8.1 packs asyncio's commands in Python: 1.6 us an argument, nine tenths of what a
    worker that writes many numbers would spend. It sends within `asyncio.wait_for`, which in
    Python 3.11 loses a cancellation just after the end. The class also names user and command.
    """

    class Packing(connection):  # type: ignore[misc]
        asked: tuple[Any, ...] = ()

        def pack_command(self, *args: Any) -> list[bytes]:
            self.asked = args
            command, *rest = args
            words = command.split() if isinstance(command, bytes) else command.encode().split()
            return [hiredis.pack_command((*words, *rest))]

        async def on_connect_check_health(self, *args: Any, **options: Any) -> None:
            asked = self.asked
            await super().on_connect_check_health(*args, **options)
            self.asked = asked  # what the connection was made for, not what it asked itself

        async def send_packed_command(self, *args: Any, **options: Any) -> None:
            task = asyncio.current_task()
            cancelled = task.cancelling() if task else 0
            await super().send_packed_command(*args, **options)
            if task and task.cancelling() > cancelled:
                await self.disconnect(nowait=True)  # else the next command reads its reply
                raise asyncio.CancelledError

        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except ResponseError as error:
                if not is_no_right(error):
                    raise
                raise NoPermissionError(refused(error, self.username, self.asked)) from None

    return Packing
