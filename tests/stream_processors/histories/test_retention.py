"""Users who are inactive for long are removed, and those who came back are not."""

import pytest

from contracts.affinities import binary
from contracts.messages import Interaction, encode
from contracts.times import DAY_MS
from contracts.tombstones import decode_tombstone
from contracts.topics import INTERACTIONS
from stream_processors.histories import retention as retention_module
from stream_processors.histories.rules import HistoryRules
from tests.stream_processors.folding import histories_in_memory
from tests.stream_processors.in_memory import KEYSPACE, InMemoryProducer, flush
from tests.stream_processors.records import batch_of
from tests.stream_processors.simulated_store import Hashes

RETENTION_DAYS = 10
RULES = HistoryRules(binary, 500, retention_days=RETENTION_DAYS)


class Worker:
    """Histories with a clock controlled by the test."""

    def __init__(self) -> None:
        self.data: Hashes = {}
        self.clock_s = 0.0
        self.producer = InMemoryProducer()
        self.histories, self.claim = histories_in_memory(
            self.data, RULES, self.producer, lambda: self.clock_s
        )
        self.next_offset = 0

    async def fold(self, user: str, day: float) -> None:
        event = Interaction(user_id=user, instrument_id=1, ts=round(day * DAY_MS))
        await self.histories.take(
            batch_of(INTERACTIONS.name, 0, [(self.next_offset, encode(event))])
        )
        self.next_offset += 1

    async def flush(self) -> None:
        await flush(self.histories, self.claim)

    async def a_minute_later(self) -> None:
        self.clock_s += retention_module._EVERY_S
        await self.flush()

    def tombstones(self) -> list[str]:
        log = self.producer.logs[INTERACTIONS.name, 0]
        assert all(record.value is None for record in log)
        return [decode_tombstone(key, tuple(headers)).user_id for _, key, headers in log]

    async def fold_tombstones(self) -> None:
        for _, key, headers in self.producer.logs.pop((INTERACTIONS.name, 0), []):
            at = self.next_offset
            await self.histories.take(
                batch_of(INTERACTIONS.name, 0, [(at, None)], keys={at: key}, headers={at: headers})
            )
            self.next_offset += 1

    def users(self) -> set[str]:
        return set(self.data[KEYSPACE.active(0)])


async def test_users_whose_last_event_is_too_old_are_removed() -> None:
    worker = Worker()
    for user, day in (("old", 0), ("just in time", 1.001), ("newest", 1 + RETENTION_DAYS)):
        await worker.fold(user, day)
    await worker.flush()
    await worker.a_minute_later()
    assert worker.tombstones() == ["old"]
    await worker.fold_tombstones()
    await worker.flush()
    assert worker.users() == {"just in time", "newest"}
    assert "1" not in worker.data[KEYSPACE.history(0, "old")]


async def test_a_user_who_came_back_before_the_tombstone_was_folded_stays() -> None:
    worker = Worker()
    for user, day in (("old", 0), ("newest", 1 + RETENTION_DAYS)):
        await worker.fold(user, day)
    await worker.flush()
    await worker.a_minute_later()
    await worker.fold("old", RETENTION_DAYS)
    await worker.fold_tombstones()
    await worker.flush()
    assert worker.users() == {"old", "newest"}


async def test_it_looks_once_a_minute() -> None:
    worker = Worker()
    for user, day in (("old", 0), ("newest", 2 * RETENTION_DAYS)):
        await worker.fold(user, day)
    await worker.flush()
    await worker.flush()
    assert worker.tombstones() == []
    await worker.a_minute_later()
    await worker.flush()
    assert worker.tombstones() == ["old"]


async def test_not_all_of_many_users_leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_module, "_USERS_AT_ONCE", 2)
    worker = Worker()
    for user, day in (("c", 2), ("a", 0), ("b", 1), ("newest", 50)):
        await worker.fold(user, day)
    await worker.flush()
    await worker.a_minute_later()
    assert worker.tombstones() == ["a", "b"]


async def test_users_leave_no_faster_than_their_pairs_can_be_subtracted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Those of a user with one item take 4 s.
    monkeypatch.setattr(retention_module, "_PAIRS_A_S", 1)
    monkeypatch.setattr(retention_module, "_USERS_MEASURED", 2)
    worker = Worker()
    for day, user in enumerate("abcdef"):
        await worker.fold(user, day)
    await worker.fold("newest", 50)
    await worker.flush()
    await worker.a_minute_later()
    assert worker.tombstones() == ["a", "b", "c"]
    for later_s, left in ((1, "abc"), (1, "abcd"), (3, "abcd"), (1, "abcde"), (4, "abcdef")):
        worker.clock_s += later_s
        await worker.flush()
        assert worker.tombstones() == list(left)


async def test_without_users_none_are_removed() -> None:
    worker = Worker()
    await worker.a_minute_later()
    assert worker.tombstones() == []
