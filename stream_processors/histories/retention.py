"""Inactive users leave by records on `interactions`, so a replay does the same at that offset."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from contracts.times import DAY_MS
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import INTERACTIONS
from stream_processors.store.chunks import Group, command
from stream_processors.store.claims import Claim
from stream_processors.transport.producer import Producer

_EVERY_S: Final = 60.0
_USERS_AT_ONCE: Final = 1_000
# Entries of G per second that removed users may change: events have priority.
_PAIRS_A_S: Final = 50_000
# Unused allowance may be used later.
_MADE_UP_S: Final = 10.0
# Users whose history lengths are queried at once.
_USERS_MEASURED: Final = 10


class Retention:
    """Finds users whose last event is long before the partition's newest one."""

    def __init__(
        self,
        claim: Claim,
        producer: Producer,
        retention_days: float,
        clock_s: Callable[[], float],
    ) -> None:
        """Take the maximum age of a user's last event before the newest one, by event time."""
        self._claim = claim
        self._producer = producer
        self._retention_ms = round(retention_days * DAY_MS)
        self._clock_s = clock_s
        self._next_s = clock_s() + _EVERY_S
        self._before_ms = 0
        self._waiting: deque[str] = deque()
        """users to remove, longest inactive first"""
        self._busy_until_s = clock_s()
        """when the next users may be removed"""

    async def enforce(self) -> None:
        """Publish tombstones for some inactive users, if it is time; called repeatedly.

        One that is not folded before the next search is published again, which changes nothing.
        """
        now_s = self._clock_s()
        if not self._waiting and now_s >= self._next_s:
            self._next_s = now_s + _EVERY_S
            await self._look()
        self._busy_until_s = max(self._busy_until_s, now_s - _MADE_UP_S)
        while self._waiting and self._busy_until_s <= now_s:
            await self._take_out_some(now_s)

    async def _look(self) -> None:
        newest = await self._ask("ZREVRANGE", "0", "0", "WITHSCORES")
        if not newest:
            return
        self._before_ms = int(float(newest[1])) - self._retention_ms
        self._waiting += await self._ask(
            "ZRANGEBYSCORE", "-inf", f"({self._before_ms}", "LIMIT", "0", str(_USERS_AT_ONCE)
        )

    async def _take_out_some(self, now_s: float) -> None:
        """Publish tombstones, at least one, until the allowance is used up."""
        users = [self._waiting[n] for n in range(min(_USERS_MEASURED, len(self._waiting)))]
        due = []
        for length in await self._lengths(users):
            if self._busy_until_s > now_s:
                break
            self._busy_until_s += length**2 / _PAIRS_A_S
            due.append(self._waiting.popleft())
        await asyncio.gather(*(self._publish(Tombstone(user, self._before_ms)) for user in due))

    async def _lengths(self, users: Sequence[str]) -> list[int]:
        """Return the number of items of each user, plus one."""
        hkeys, key = command("HKEYS", []), self._claim.keyspace.history
        questions = (Group(key(self._claim.partition, user), hkeys) for user in users)
        return list(map(len, await self._claim.read(questions)))

    async def _publish(self, tombstone: Tombstone) -> None:
        key, headers = encode_tombstone(tombstone)
        partition = self._claim.partition
        await self._producer.publish(INTERACTIONS.name, partition, None, key, headers)

    async def _ask(self, name: str, *arguments: str) -> list[str]:
        """Return the reply to a command on the partition's users by last event time."""
        key = self._claim.keyspace.active(self._claim.partition)
        (answer,) = await self._claim.read([Group(key, command(name, arguments))])
        users: list[str] = answer
        return users
