"""Whether the bars that are retained will fit the memory of Redis."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from contracts.topics import INSTRUMENTS
from runtime.redis.refusals import nodes_of
from runtime.redis.stores import every_master
from runtime.topology import Topology
from stream_processors.store.store import Store

BAR_BYTES: Final = 190
"""Of a bar in a hash, on Valkey 9: docs/capacity.md."""
_GB: Final = 10**9


async def memory_warning(store: Store, topology: Topology, retention_minutes: int) -> str | None:
    """Return a warning if the bars of the catalog's instruments will not fit Redis; else None.

    Raises:
        redis.exceptions.RedisError: a node does not answer.
    """
    catalogs = [store.keyspace.catalog(p) for p in range(topology.of(INSTRUMENTS))]
    counts = await asyncio.gather(*(store.client.hlen(key) for key in catalogs))
    info = await store.client.info("memory", **every_master(store.client))
    return too_large(sum(counts), retention_minutes, memory_of(info))


def memory_of(info: Mapping[str, Any]) -> int:
    """Return the bytes that all nodes may use, from `INFO memory` of one or node by node.

    >>> memory_of({"a:1": {"maxmemory": 0, "total_system_memory": 4}, "b:1": {"maxmemory": 3}})
    7
    """
    return sum(
        int(node.get("maxmemory", 0)) or int(node.get("total_system_memory", 0))
        for node in nodes_of(info)
    )


def too_large(instruments: int, retention_minutes: int, memory_bytes: int) -> str | None:
    """Return what to say if bars need more than the memory there is, in bytes; 0: not known."""
    needed = instruments * retention_minutes * BAR_BYTES
    if not memory_bytes or needed <= memory_bytes:
        return None
    return (
        f"bars of {instruments:,} instruments over {retention_minutes:,} minutes "
        f"(BARS_RETENTION_MINUTES) take {needed / _GB:.1f} GB, and Redis has "
        f"{memory_bytes / _GB:.1f} GB: give it more, or retain fewer minutes in a new NAMESPACE"
    )
