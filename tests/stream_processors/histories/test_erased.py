"""Repeated or late events do not bring back an erased user."""

import time
from collections.abc import Sequence
from itertools import accumulate, pairwise, product

import pytest

from contracts.keyspace import NOT_ITEMS
from contracts.messages import MAX_AHEAD_MS, Interaction
from contracts.tombstones import KEPT_MS, Tombstone, pseudonym
from stream_processors import metrics
from tests.stream_processors.folding import batch_of_events, histories_in_memory
from tests.stream_processors.in_memory import KEYSPACE, flush, groups_of
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
