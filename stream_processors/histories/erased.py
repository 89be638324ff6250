"""The erased users of a partition, so that no earlier event brings one back.

They are in Redis under a pseudonym, and are looked up when a user without a history appears.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from contracts.tombstones import KEPT_MS, NEVER_MS, pseudonym
from stream_processors.store.chunks import Commands, Group, command
from stream_processors.store.claims import Claim


class Erased:
    """Known erasures, in Redis and not yet written."""

    def __init__(self, claim: Claim) -> None:
        """Take the partition."""
        self._claim = claim
        self._key = claim.keyspace.erased(claim.partition)
        self._may_be_any: bool | None = None
        """whether Redis may have some; None: not asked yet"""
        self._unwritten: dict[str, int] = {}

    async def before_ms(self, users: Sequence[str]) -> list[int]:
        """Return the time before which each user's events are skipped; mostly `NEVER_MS`."""
        if users and self._may_be_any is None:
            (newest,) = await self._ask([command("ZREVRANGE", ["0", "0", "WITHSCORES"])])
            self._may_be_any = bool(newest)
        if not users or not self._may_be_any:
            return [NEVER_MS] * len(users)
        scores = await self._ask([command("ZSCORE", [pseudonym(user)]) for user in users])
        return [NEVER_MS if score is None else int(float(score)) for score in scores]

    def note(self, user: str, before_ms: int) -> None:
        """Note that a user is erased."""
        self._unwritten[user] = max(before_ms, self._unwritten.get(user, NEVER_MS))
        self._may_be_any = True

    def groups(self) -> Iterator[Group]:
        """Yield the unwritten erasures."""
        for user, before_ms in self._unwritten.items():
            commands = command("ZADD", ["GT", str(before_ms), pseudonym(user)])
            commands += command("ZREMRANGEBYSCORE", ["-inf", str(before_ms - KEPT_MS)])
            yield Group(self._key, commands)

    def written(self) -> None:
        """Note that Redis is up to date."""
        self._unwritten.clear()

    async def _ask(self, commands: Iterable[Commands]) -> list[Any]:
        return await self._claim.read(Group(self._key, one) for one in commands)
