"""Folds feedback into how often users were shown items since their last click.

A user's hash has the offset of the last message that changed it, so messages reread after a crash
count once. Between two flushes memory has only the users of this one: the API deletes the hash of
an erased user, and a copy kept for longer would bring it back.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from contracts.impressions import KEPT_MS
from contracts.log_position import mark
from contracts.topics import FEEDBACK
from stream_processors import metrics
from stream_processors.decoding.feedback import Reacted
from stream_processors.impressions.shown import Shown
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim

# Each may be of another user, of whom up to 200 items are read, some 300 bytes each.
_RECORDS_AT_ONCE: Final = 500
_ITEMS_UNWRITTEN: Final = 50_000


class ImpressionsFold:
    """The users of one partition whose feedback is not written yet."""

    records_at_once = _RECORDS_AT_ONCE
    is_due = False

    def __init__(self, claim: Claim, now_s: Callable[[], float] = time.time) -> None:
        """Take the partition, and the wall clock."""
        self._claim = claim
        self._now_s = now_s
        self._users: dict[str, Shown] = {}
        self._n_items = 0
        """those of the users when they were read"""
        self._n_written = 0

    @property
    def is_full(self) -> bool:
        """Whether more is unwritten than memory should hold."""
        return self._n_items + len(self._users) >= _ITEMS_UNWRITTEN

    def begun(self) -> Unwritten:
        """Return nothing: impressions outlive their log, for a few weeks."""
        return Unwritten()

    async def take(self, records: Sequence[Reacted]) -> None:
        """Fold messages in log order, without those that no longer matter."""
        since_ms = self._now_s() * 1000 - KEPT_MS
        recent = [record for record in records if record.ts_ms >= since_ms]
        await self._read(list(dict.fromkeys(record.user_id for record in recent)))
        replayed, base = 0, mark(self._claim.incarnation, 0)
        for offset, user_id, item, kind, token, ts_ms in recent:
            shown = self._users[user_id]
            replayed += base + offset <= shown.mark
            shown.fold(base + offset, item, kind, token, ts_ms)
        metrics.REPLAYED.labels(FEEDBACK.name).inc(replayed)

    async def unwritten(self) -> Unwritten:
        """Return the users whose impressions changed."""
        changed = {user: shown for user, shown in self._users.items() if shown.is_changed}
        self._n_written = len(changed)
        return Unwritten(self._groups(changed))

    def written(self) -> None:
        """Forget all users."""
        metrics.FLUSHED_VALUES.labels(FEEDBACK.name).inc(self._n_written)
        self._users, self._n_items = {}, 0

    async def _read(self, users: Sequence[str]) -> None:
        unknown = [user for user in users if user not in self._users]
        questions = [Group(self._key(user), command("HGETALL", [])) for user in unknown]
        answers = await self._claim.read(questions) if questions else []
        for user, answer in zip(unknown, answers, strict=True):
            self._users[user] = shown = Shown(answer)
            self._n_items += len(shown.items)

    def _groups(self, changed: dict[str, Shown]) -> Iterator[Group]:
        for user, shown in changed.items():
            yield Group(self._key(user), shown.commands())

    def _key(self, user: str) -> str:
        return self._claim.keyspace.impressions(self._claim.partition, user)
