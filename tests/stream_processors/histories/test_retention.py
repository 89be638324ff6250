"""Users who are inactive for long are removed, and those who came back are not."""

from typing import Any

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
A_MINUTE_S = retention_module._EVERY_S
RULES = HistoryRules(binary, 500, retention_days=RETENTION_DAYS)


class Worker:
    """Histories with a clock controlled by the test, in which users did something on a day each."""

    def __init__(self) -> None:
        self.data: Hashes = {}
        self.clock_s = 0.0
        self.producer = InMemoryProducer()
        self.histories, self.claim = histories_in_memory(
            self.data, RULES, self.producer, lambda: self.clock_s
        )
        self.next_offset = 0

    async def fold(self, **users: float) -> None:
        """Fold an event of each user on a day."""
        for user, day in users.items():
            event = Interaction(user_id=user, instrument_id=1, ts=round(day * DAY_MS))
            await self.take(encode(event))

    async def take(self, value: bytes | None, key: bytes | None = None, headers: Any = ()) -> None:
        at = self.next_offset
        its = batch_of(INTERACTIONS.name, 0, [(at, value)], keys={at: key}, headers={at: headers})
        await self.histories.take(its)
        self.next_offset += 1

    async def flush(self, later_s: float = 0) -> None:
        self.clock_s += later_s
        await flush(self.histories, self.claim)

    def tombstones(self) -> str:
        """Return the users of the tombstones in the log."""
        log = self.producer.logs[INTERACTIONS.name, 0]
        assert all(record.value is None for record in log)
        return "".join(decode_tombstone(key, tuple(its)).user_id for _, key, its in log)

    async def fold_tombstones(self) -> None:
        for record in self.producer.logs.pop((INTERACTIONS.name, 0), []):
            await self.take(*record)
        await self.flush()

    def users(self) -> set[str]:
        return set(self.data[KEYSPACE.active(0)])


async def test_users_whose_last_event_is_too_old_are_removed_unless_they_came_back() -> None:
    worker = Worker()
    await worker.flush(A_MINUTE_S)
    assert worker.tombstones() == "", "there are no users"
    await worker.fold(a=0, b=0, j=1.001, n=1 + RETENTION_DAYS)
    await worker.flush()
    await worker.flush()
    assert worker.tombstones() == "", "it looks once a minute"
    await worker.flush(A_MINUTE_S)
    await worker.flush()
    assert worker.tombstones() == "ab"
    await worker.fold(b=RETENTION_DAYS)
    await worker.fold_tombstones()
    assert worker.users() == set("bjn")
    assert "1" not in worker.data[KEYSPACE.history(0, "a")]


async def test_not_all_of_many_users_leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_module, "_USERS_AT_ONCE", 2)
    worker = Worker()
    await worker.fold(c=2, a=0, b=1, n=50)
    await worker.flush()
    await worker.flush(A_MINUTE_S)
    assert worker.tombstones() == "ab"


async def test_users_leave_no_faster_than_their_pairs_can_be_subtracted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Those of a user with one item take 4 s.
    monkeypatch.setattr(retention_module, "_PAIRS_A_S", 1)
    monkeypatch.setattr(retention_module, "_USERS_MEASURED", 2)
    worker = Worker()
    await worker.fold(**{user: day for day, user in enumerate("abcdef")}, n=50)
    await worker.flush()
    await worker.flush(A_MINUTE_S)
    assert worker.tombstones() == "abc"
    for later_s, left in ((1, "abc"), (1, "abcd"), (3, "abcd"), (1, "abcde"), (4, "abcdef")):
        await worker.flush(later_s)
        assert worker.tombstones() == left
