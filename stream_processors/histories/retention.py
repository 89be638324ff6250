"""Users who have been away for long are taken out, by records on `interactions`.

So a replay does the same at the same place in the log.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from contracts.affinities import DAY_MS
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import INTERACTIONS
from stream_processors.store.chunks import Group, command
from stream_processors.store.claims import Claim
from stream_processors.transport.producer import Producer

_EVERY_S: Final = 60.0
# What they change in G is as much as many events do: they must not keep these waiting.
_USERS_AT_ONCE: Final = 1_000


class Retention:
    """Looks for users whose last event is long before the partition's newest one."""

    def __init__(
        self,
        claim: Claim,
        producer: Producer,
        retention_days: float,
        clock_s: Callable[[], float],
    ) -> None:
        """Take how much older than the newest event, by event time, a user's last one may be."""
        self._claim = claim
        self._producer = producer
        self._retention_ms = round(retention_days * DAY_MS)
        self._clock_s = clock_s
        self._next_s = clock_s() + _EVERY_S

    async def enforce(self) -> None:
        """Publish a tombstone for each of them, if it is time to look again.

        One that is not folded yet when it is time again is published again, which changes nothing.
        """
        if self._clock_s() < self._next_s:
            return
        self._next_s = self._clock_s() + _EVERY_S
        newest = await self._ask("ZREVRANGE", "0", "0", "WITHSCORES")
        if not newest:
            return
        before_ms = int(float(newest[1])) - self._retention_ms
        users = await self._ask(
            "ZRANGEBYSCORE", "-inf", f"({before_ms}", "LIMIT", "0", str(_USERS_AT_ONCE)
        )
        await asyncio.gather(*(self._publish(Tombstone(user, before_ms)) for user in users))

    async def _publish(self, tombstone: Tombstone) -> None:
        key, headers = encode_tombstone(tombstone)
        partition = self._claim.partition
        await self._producer.publish(INTERACTIONS.name, partition, None, key, headers)

    async def _ask(self, name: str, *arguments: str) -> list[str]:
        """Return the answer to a command on the partition's users by last event time."""
        key = self._claim.keyspace.active(self._claim.partition)
        (answer,) = await self._claim.read([Group(key, command(name, arguments))])
        users: list[str] = answer
        return users
