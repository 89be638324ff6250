"""Which events of a user count, and what a user who leaves leaves behind, in every fold by user.

Erased users are in Redis under a pseudonym, and are looked up when a user without data appears, so
that no earlier event brings one back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol

from contracts.keyspace import ERASED_FIELD, OFFSET_FIELD
from contracts.log_position import text_of
from contracts.times import HOUR_S
from contracts.tombstones import KEPT_MS, NEVER_MS, Tombstone, pseudonym
from contracts.topics import INTERACTIONS
from stream_processors.store.chunks import Commands, Group, command
from stream_processors.store.claims import Claim

_EXPIRE_S: Final = str(INTERACTIONS.retention_h * HOUR_S)


class UserValue(Protocol):
    """What a fold has of one user, in a hash in Redis."""

    mark: int
    """of the last folded event"""
    erased_before_ms: int
    """earlier events are skipped, as the user was erased"""

    @property
    def is_bare(self) -> bool:
        """Whether nothing of the user is left."""

    def last_ts_ms(self) -> int:
        """Return the time of the last event that counts, epoch ms, -1 if there is none."""


class Erasure:
    """Erasures in Redis and not yet written, and the hashes of users who left."""

    def __init__(self, claim: Claim, key: Callable[[int, str], str]) -> None:
        """Take the partition, and the builder of the users' keys."""
        self._claim = claim
        self.key = partial(key, claim.partition)
        """user -> key of the hash"""
        self._key = claim.keyspace.erased(claim.partition)
        self._may_be_any: bool | None = None
        """whether Redis may have some; None: not asked yet"""
        self._unwritten: dict[str, int] = {}
        self.bare: set[str] = set()
        """users whose hash in Redis has nothing but an offset below the position: to be deleted"""
        self.n_skipped = 0
        """events from before their user's erasure"""

    async def look_up(self, values: Mapping[str, UserValue]) -> None:
        """Complete what Redis has of some users: those without data may have been erased."""
        bare = {user: value for user, value in values.items() if value.is_bare}
        if bare and self._may_be_any is None:
            (newest,) = await self._ask([command("ZREVRANGE", ["0", "0", "WITHSCORES"])])
            self._may_be_any = bool(newest)
        if not bare or not self._may_be_any:
            return
        scores = await self._ask(command("ZSCORE", [pseudonym(user)]) for user in bare)
        for value, score in zip(bare.values(), scores, strict=True):
            value.erased_before_ms = max(value.erased_before_ms, int(float(score or NEVER_MS)))

    def admits(
        self, user: str, value: UserValue, mark: int, ts_ms: int, tombstone: Tombstone | None
    ) -> bool:
        """Return whether a record changes what there is of its user, and note that it does.

        If it is a tombstone, the caller clears the value.
        """
        if mark <= value.mark:
            if tombstone and value.erased_before_ms:
                # A failover may have kept the value, but not the erasure of the same flush.
                self._note(user, value.erased_before_ms)
            return False
        if tombstone is None:
            if ts_ms < value.erased_before_ms:
                self.n_skipped += 1
                return False
        elif not tombstone.applies_to(value.last_ts_ms()):
            return False
        else:
            before_ms = tombstone.leaves_out_before_ms(value.last_ts_ms())
            if before_ms > value.erased_before_ms:
                value.erased_before_ms = before_ms
                self._note(user, before_ms)
        value.mark = mark
        return True

    def groups(self, changed: Iterable[str]) -> Iterator[Group]:
        """Yield the deletions of hashes that did not change again, and the unwritten erasures."""
        for user in self.bare.difference(changed):
            yield Group(self.key(user), command("UNLINK", []))
        for user, before_ms in self._unwritten.items():
            commands = command("ZADD", ["GT", str(before_ms), pseudonym(user)])
            commands += command("ZREMRANGEBYSCORE", ["-inf", str(before_ms - KEPT_MS)])
            yield Group(self._key, commands)

    def written(self, changed: Mapping[str, UserValue]) -> None:
        """Note that Redis is up to date."""
        self.bare = {user for user, value in changed.items() if value.is_bare}
        self._unwritten.clear()

    def _note(self, user: str, before_ms: int) -> None:
        self._unwritten[user] = max(before_ms, self._unwritten.get(user, NEVER_MS))
        self._may_be_any = True

    async def _ask(self, commands: Iterable[Commands]) -> list[Any]:
        return await self._claim.read(Group(self._key, one) for one in commands)


def value_commands(value: UserValue, fields: Iterable[str]) -> Commands:
    """Return the writes of a user's hash: the offset, and some fields and values.

    A user who left keeps a hash with the offset, by which a replay is detected, and the time of an
    erasure, which the replay notes again. The next flush may delete it, `Erasure.groups`; if the
    worker ends before, it expires after the last replay that the log allows.
    """
    erased = [ERASED_FIELD, str(value.erased_before_ms)] if value.erased_before_ms else []
    commands = command("HSET", [OFFSET_FIELD, text_of(value.mark), *erased, *fields])
    return commands + command("EXPIRE", [_EXPIRE_S]) if value.is_bare else commands
