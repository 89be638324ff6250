"""Redis clients, for a single node or a cluster: the server at the URL says which it is."""

from typing import Any, Final

import hiredis
import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

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
"""What the clients raise while Redis cannot be reached or fails over: worth another try."""
REFUSING: Final = (
    "NOREPLICAS", "MISCONF", "OOM", "LOADING", "MASTERDOWN", "TRYAGAIN", "READONLY",
    "BUSY", "CLUSTERDOWN")  # fmt: skip
"""What an answer starts with while Redis takes no writes: too few replicas, a full disk, no memory;
redis-py has no class for most of them, nor for those that come out of a script."""


def is_away(error: BaseException) -> bool:
    """Return whether Redis may answer otherwise later: it is away, fails over, or takes no writes.

    >>> is_away(ResponseError("NOREPLICAS Not enough good replicas to write."))
    True
    >>> is_away(ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"))
    False
    """
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
    """
    options: dict[str, Any] = {
        "client_name": client_name,
        "decode_responses": True,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }
    retry = Retry(_backoff(), _RETRIES, supported_errors=_RETRIED)
    single = redis.Redis.from_url(url, retry=retry, **options)
    if not single.info("cluster").get("cluster_enabled"):
        return single
    single.close()
    return redis.RedisCluster.from_url(url, **options)


async def connect_async(
    url: str, client_name: str, timeout_s: float = 5, retries: int = _RETRIES
) -> AsyncStore:
    """Return an asyncio client of the store at `url`, whose answers are text; as `connect`.

    A reader with a deadline of its own wants no retries: they would outlast it.
    """
    options: dict[str, Any] = {
        "client_name": client_name,
        "decode_responses": True,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }
    retry = AsyncRetry(_backoff(), retries, supported_errors=_RETRIED)
    single = redis.asyncio.Redis.from_url(url, retry=retry, **options)
    pool = single.connection_pool
    pool.connection_class = _packing_in_c(pool.connection_class)
    if not (await single.info("cluster")).get("cluster_enabled"):
        return single
    await single.aclose()
    cluster = redis.asyncio.RedisCluster.from_url(url, **options)
    nodes = cluster.connection_kwargs
    nodes["connection_class"] = _packing_in_c(nodes["connection_class"])
    return cluster


def _packing_in_c(connection: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return the connection class with hiredis packing its commands, as redis-py's sync one does.

    redis-py 8.1 packs asyncio's commands in Python: 1.6 us an argument, nine tenths of what a
    worker that writes many numbers would spend.
    """

    class Packing(connection):  # type: ignore[misc, valid-type]
        def pack_command(self, *args: Any) -> list[bytes]:
            command, *rest = args
            words = command.split() if isinstance(command, bytes) else command.encode().split()
            return [hiredis.pack_command((*words, *rest))]

    return Packing
