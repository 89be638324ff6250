"""How a user leaves, erased or inactive for long: what is left, and that nothing comes back."""

import time
from collections.abc import Sequence
from itertools import accumulate, pairwise, product
from typing import Any

import pytest

from contracts.affinities import binary
from contracts.keyspace import NOT_ITEMS
from contracts.messages import MAX_AHEAD_MS, Interaction, encode
from contracts.times import DAY_MS
from contracts.tombstones import KEPT_MS, Tombstone, decode_tombstone, pseudonym
from contracts.topics import INTERACTIONS
from runtime.topology import Topology
from stream_processors import metrics
from stream_processors.histories import retention as retention_module
from stream_processors.histories.rules import HistoryRules
from stream_processors.store.store import Store
from tests.stream_processors.folding import (
    BINARY,
    KEYSPACE,
    InMemoryProducer,
    UserEvent,
    batch_of,
    batch_of_events,
    claimed,
    connected,
    flush,
    fold_of_interactions,
    groups_of,
    histories_in_memory,
)
from tests.stream_processors.simulated_store import Hashes

ERASED_AT_MS = 1_700_000_000_000


def took(item: int, ts_ms: int, user: str = "A") -> Interaction:
    return Interaction(user_id=user, instrument_id=item, ts=ts_ms)


async def folded(log: Sequence[Interaction | Tombstone], data: Hashes, at_once: int) -> None:
    """Fold a log, some records per flush."""
    fold, claim = histories_in_memory(data)
    for start in range(0, len(log), at_once):
        some = batch_of_events(log, start, min(start + at_once, len(log)))
        assert await fold.take(some) == []
        await flush(fold, claim)


def items_of(data: Hashes, user: str) -> set[str]:
    return data.get(KEYSPACE.history(0, user), {}).keys() - NOT_ITEMS


ERASURES = [Tombstone("A", erased_at_ms=ERASED_AT_MS), Tombstone("A")]
BEFORE = [took(1, ERASED_AT_MS - 2_000), took(2, ERASED_AT_MS - 1_000), took(3, 0, "B")]


async def test_no_key_names_the_erased_user_and_erasures_of_a_year_ago_are_forgotten() -> None:
    data: Hashes = {}
    skipped = metrics.ERASED_EVENTS._value.get()
    await folded([*BEFORE, ERASURES[0], Tombstone("A", erased_at_ms=1), *BEFORE], data, 7)
    assert metrics.ERASED_EVENTS._value.get() - skipped == 2
    assert not data[KEYSPACE.history(0, "A")]
    assert data[KEYSPACE.erased(0)] == {pseudonym("A"): str(ERASED_AT_MS)}
    await folded([Tombstone("C", erased_at_ms=ERASED_AT_MS + KEPT_MS)], data, 1)
    assert data[KEYSPACE.erased(0)].keys() == {pseudonym("C")}


@pytest.mark.parametrize("reached", [*product([False, True], repeat=4)])
@pytest.mark.parametrize("log", [[*BEFORE, one, took(9, BEFORE[1].ts)] for one in ERASURES])
async def test_an_erasure_outlives_the_loss_of_any_chunks_of_its_flush(
    log: list[Interaction | Tombstone], reached: tuple[bool, ...]
) -> None:
    data: Hashes = {}
    await folded(log[:3], data, 3)
    fold, claim = histories_in_memory(data)
    await fold.take(batch_of_events(log, 3, len(log)))
    groups = await groups_of(await fold.unwritten())
    assert len(groups) <= len(reached)
    claim.write(group for group, has_reached in zip(groups, reached, strict=False) if has_reached)
    inactive = [took(7, ERASED_AT_MS), Tombstone("A", ERASED_AT_MS + 1)]
    for start, end in pairwise(accumulate((3, len(log) - 3, 3, 2, 3))):
        fold, claim = histories_in_memory(data)
        await fold.take(batch_of_events([*log, *BEFORE, *inactive, *BEFORE], start, end))
        await flush(fold, claim)
        await flush(fold, claim)  # deletes what is left of a history
    assert (items_of(data, "A"), items_of(data, "B")) == (set(), {"3"})


async def test_an_erasure_of_a_clock_that_is_ahead_does_not_let_others_be_forgotten() -> None:
    data: Hashes = {}
    now_ms = time.time_ns() // 1_000_000
    ahead = Tombstone("B", erased_at_ms=now_ms + 2 * KEPT_MS)
    await folded([took(1, now_ms - 9), Tombstone("A", erased_at_ms=now_ms), ahead], data, 1)
    await folded([took(2, now_ms - 9), took(3, now_ms, "B")], data, 1)
    assert (items_of(data, "A"), items_of(data, "B")) == (set(), set())
    bound_ms = int(data[KEYSPACE.erased(0)][pseudonym("B")])
    assert now_ms <= bound_ms - MAX_AHEAD_MS <= time.time_ns() // 1_000_000


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
        its = batch_of(INTERACTIONS.name, 0, [(at, value, key, headers)])
        await self.histories.take(its)
        self.next_offset += 1

    async def flush(self, later_s: float = 0) -> None:
        self.clock_s += later_s
        await flush(self.histories, self.claim)

    def tombstones(self) -> str:
        """Return the users of the tombstones in the log."""
        log = self.producer.logs[INTERACTIONS.name, 0]
        assert all(record.value is None for record in log)
        return "".join(decode_tombstone(key, tuple(its)).user_id for key, _, its in log)

    async def fold_tombstones(self) -> None:
        for record in self.producer.logs.pop((INTERACTIONS.name, 0), []):
            await self.take(record.value, record.key, record.headers)
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


ERASURE: list[UserEvent] = [
    Interaction(user_id="A", instrument_id=1, ts=0),
    Tombstone("A"),
    Interaction(user_id="A", instrument_id=2, ts=1),
]


class OnAStore:
    """Folds a user's event, the user's erasure, and another event, in flushes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def start(self) -> None:
        self.claim = await claimed(self.store, INTERACTIONS)
        one = Topology(1, 1, 1)
        self.fold = fold_of_interactions(self.claim, InMemoryProducer(), one, BINARY)  # type: ignore[arg-type]

    async def take(self, first: int, end: int) -> None:
        assert await self.fold.take(batch_of_events(ERASURE, first, end)) == []
        await self.claim.write(await self.fold.unwritten(), end)
        self.fold.written()


LEFT = {"off", "erased"}
NEVER, IS_GONE = -1, -2


@pytest.mark.parametrize(
    ("restarted", "end", "fields", "expires_in_s"),
    [
        (False, 2, set(), [IS_GONE]),
        (True, 0, LEFT, range(1, INTERACTIONS.retention_h * 3_600 + 1)),
        (False, 3, LEFT | {"2"}, [NEVER]),
        (True, 3, LEFT | {"2"}, [NEVER]),
    ],
    ids=["no record arrives", "the worker ends", "the user comes back", "the user does, later"],
)
async def test_the_key_of_a_removed_user_is_deleted_by_the_next_flush_or_else_expires(
    *,
    store_url: str,
    namespace: str,
    restarted: bool,
    end: int,
    fields: set[str],
    expires_in_s: Sequence[int],
) -> None:
    async with connected(store_url, namespace) as store:
        worker, key = OnAStore(store), store.keyspace.history(0, "A")
        await worker.start()
        await worker.take(0, 2)
        assert (set(await store.hash_of(key)), worker.fold.is_due) == (LEFT, True)
        if restarted:
            await worker.start()
        if end:
            await worker.take(2, end)
        assert (set(await store.hash_of(key)), worker.fold.is_due) == (fields, False)
        assert await store.client.ttl(key) in expires_in_s
