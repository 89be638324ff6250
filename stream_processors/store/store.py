"""The workers' connection to Redis: scripts, positions of partitions, their epochs and settings."""

import time
from typing import Any

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import NoScriptError

from contracts.event_types import changed
from contracts.keyspace import Keyspace
from contracts.topics import Topic
from runtime.redis.stores import AsyncStore, every_master, is_away
from stream_processors import metrics
from stream_processors.patience import STORE, Patience
from stream_processors.store.scripts import CLAIM, SHA

log = structlog.get_logger()


class FoldingError(RuntimeError):
    """A partition's state was folded with settings other than this worker's."""


def folding_text(settings: dict[str, Any]) -> str:
    """Return settings as stored in a position: equal settings give equal text.

    >>> folding_text({"history_cap": 500, "affinity": "binary"})
    '{"affinity":"binary","history_cap":500}'
    """
    return msgspec.json.encode(settings, order="sorted").decode()


def check_folding(topic: Topic, partition: int, stored: str | None, ours: str) -> None:
    """Check that a partition's state, if any, was folded with these settings.

    Raises:
        FoldingError: what differs, with both values and what to do.
    """
    if stored is None or stored == ours:
        return
    theirs, mine = msgspec.json.decode(stored), msgspec.json.decode(ours)
    names = changed(theirs, mine)
    if not names:
        return
    differing = ", ".join(
        f"{name.upper()} was {theirs.get(name, 'not set')} and is {mine.get(name, 'not set')}"
        for name in names
    )
    raise FoldingError(
        f"what Redis holds of {topic.name}/{partition} was folded with other settings: "
        f"{differing}. Restore the settings, or choose another NAMESPACE, which is filled from the "
        "log's beginning"
    )


Position = dict[str, str]
"""The hash `Keyspace.position`."""


class Store:
    """The workers' interface to Redis; waits for unreachable servers."""

    chunk_cost = 2_500
    """Fields and values that one script call writes or reads: about a millisecond for Redis, during
    which it answers no other client. Only what must be written together exceeds it."""

    def __init__(self, client: AsyncStore, keyspace: Keyspace) -> None:
        self.client = client
        self.keyspace = keyspace
        self.patiently = Patience(STORE, is_away)
        self._said_unpublished = False

    async def fence(self, topic: Topic, partition: int, folding: str) -> Position:
        """Raise the partition's epoch, so that no other worker writes; return its position.

        Raises:
            FoldingError: its state was folded with other settings; its epoch is unchanged.
        """
        now_us = time.time_ns() // 1_000
        key = self.keyspace.position(topic, partition)
        expected = folding
        while True:
            is_fenced, answer = await self.patiently(self.run, CLAIM, [key], now_us, expected)
            if is_fenced:
                break
            check_folding(topic, partition, answer, folding)
            expected = answer  # which fits ours, that the next flush writes
        return dict(zip(answer[::2], answer[1::2], strict=True))

    async def answers(self) -> bool:
        """Return whether it currently answers; of a cluster, each writable node."""
        return bool(await self.client.ping(**every_master(self.client)))

    async def shard_answers(self, topic: Topic, partition: int) -> bool:
        """Return whether the node that has a partition's keys answers."""
        if isinstance(self.client, redis.asyncio.Redis):
            return bool(await self.client.ping())
        key = self.keyspace.position(topic, partition)
        return bool(await self.client.ping(target_nodes=self.client.get_node_from_key(key)))

    async def position(self, topic: Topic, partition: int) -> Position:
        """Return a partition's position, empty if it has none."""
        return await self.hash_of(self.keyspace.position(topic, partition))

    async def hash_of(self, key: str) -> dict[str, str]:
        """Return a hash, empty if there is none."""
        fields: dict[str, str] = await self.patiently(self.client.hgetall, key)  # type: ignore[arg-type]
        return fields

    async def run(self, script: str, keys: list[str], *arguments: str | int | bytes) -> Any:
        """Call a script."""
        try:
            return await self.client.evalsha(SHA[script], len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.client.eval(script, len(keys), *keys, *arguments)

    def report_unpublished(self, channel: str, error: str) -> None:
        """Count a chunk of bars that was not published; log the first one."""
        metrics.UNPUBLISHED.inc()
        if not self._said_unpublished:
            self._said_unpublished = True
            log.warning(
                "bars are written but not published, so live streams are stalled: Redis 7 or "
                "newer is required, and a user with permission to publish on the channel",
                channel=channel,
                error=error,
            )
