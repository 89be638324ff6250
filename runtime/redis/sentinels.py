"""Clients of the node that Sentinels name as the master, now and after each failover.

An unreachable Sentinel is not retried: the next one is asked.
"""

from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from runtime.redis.url import StoreUrl

_OF_CONNECTIONS: Final[tuple[str, ...]] = (
    "driver_info",
    "socket_timeout",
    "socket_connect_timeout",
)


def master(url: StoreUrl, **options: Any) -> redis.Redis:
    """Return a client, with redis-py's options of it."""
    of_sentinels = _options(url.sentinel_options, options) | {"retry": Retry(NoBackoff(), 0)}
    sentinel: Any = _Sentinel(url.sentinels, 0, of_sentinels)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(url.service, **_options(url.options, {}), **options)
    return client


def master_async(url: StoreUrl, **options: Any) -> redis.asyncio.Redis:
    """Return an asyncio client, with redis-py's options of it."""
    of_sentinels = _options(url.sentinel_options, options) | {"retry": AsyncRetry(NoBackoff(), 0)}
    sentinel: Any = _AsyncSentinel(url.sentinels, 0, of_sentinels)  # type: ignore[no-untyped-call]
    client: redis.asyncio.Redis = sentinel.master_for(
        url.service, **_options(url.options, {}), **options
    )
    return client


class _Sentinel(Sentinel):
    def discover_master(self, service_name: str) -> Any:
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError as error:
            raise MasterNotFoundError(_unnamed(service_name, error)) from None


class _AsyncSentinel(AsyncSentinel):
    async def discover_master(self, service_name: str) -> Any:
        try:
            return await super().discover_master(service_name)
        except AsyncMasterNotFoundError as error:
            raise AsyncMasterNotFoundError(_unnamed(service_name, error)) from None


def _unnamed(service: str, error: Exception) -> str:
    """Return why no master was found: redis-py lists every option of each connection."""
    if "AuthenticationError" in str(error):
        why = "they do not let us in: set sentinel_username and sentinel_password in REDIS_URL"
    elif "Error" in str(error):
        why = "those that answer know no service of this name, or see none of its nodes up"
    else:
        why = "they know no service of this name, or do not see its master up"
    return f"no Sentinel names a master of {service!r}: {why}"


def _options(of_url: dict[str, Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return options of connections as Sentinel's clients take them: `ssl` stands for the class."""
    given = dict(of_url or {})
    is_encrypted = given.pop("connection_class", None) is SSLConnection
    shared: dict[str, Any] = {name: options[name] for name in _OF_CONNECTIONS if name in options}
    return {**given, **shared, "ssl": is_encrypted}
