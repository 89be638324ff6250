"""Repeated or late events do not bring back an erased user."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from faust.types import TP

from contracts.affinities import binary
from contracts.keyspace import NOT_ITEMS
from contracts.messages import Interaction, encode
from contracts.tombstones import KEPT_MS, Tombstone, encode_tombstone, pseudonym
from contracts.topics import INTERACTIONS
from runtime.topology import Topology
from stream_processors import metrics
from stream_processors.histories.rules import HistoryRules
from stream_processors.transport.batches import RecordBatch, size_of
from tests.stream_processors.folding import fold_of_interactions
from tests.stream_processors.in_memory import KEYSPACE, InMemoryClaim, InMemoryProducer
from tests.stream_processors.records import record
from tests.stream_processors.simulated_store import Hashes

Record = Interaction | Tombstone
ERASED_AT_MS = 1_700_000_000_000


def took(item: int, ts_ms: int, user: str = "A") -> Interaction:
    return Interaction(user_id=user, instrument_id=item, ts=ts_ms)


def batch(log: Sequence[Record], start: int, end: int) -> RecordBatch:
    records = []
    for offset, one in enumerate(log[start:end], start):
        if isinstance(one, Tombstone):
            key, headers = encode_tombstone(one)
            its = replace(record(INTERACTIONS.name, 0, offset, None, key), headers=tuple(headers))
        else:
            its = record(INTERACTIONS.name, 0, offset, encode(one))
        records.append(its)
    return RecordBatch(TP(INTERACTIONS.name, 0), None, start, end, records, size_of(records))


async def folded(
    log: Sequence[Record], data: Hashes, at_once: int, *, restarted: bool = False
) -> InMemoryProducer:
    """Fold a log, some records per flush, by one worker or by a new one each time."""
    producer, fold = InMemoryProducer(), None
    for start in range(0, len(log), at_once):
        if fold is None or restarted:
            claim = InMemoryClaim(data, INTERACTIONS)
            fold = fold_of_interactions(
                claim.as_claim(), producer, Topology(1, 1, 1), HistoryRules(binary, 500)
            )
        some = batch(log, start, min(start + at_once, len(log)))
        assert await fold.take(some) == []
        claim.write((await fold.unwritten()).groups)
        fold.written()
    return producer


def items_of(data: Hashes, user: str) -> set[str]:
    return data.get(KEYSPACE.history(0, user), {}).keys() - NOT_ITEMS


ERASURES = [Tombstone("A", erased_at_ms=ERASED_AT_MS), Tombstone("A")]
BEFORE = [took(1, ERASED_AT_MS - 2_000), took(2, ERASED_AT_MS - 1_000), took(3, 0, "B")]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("erasure", ERASURES)
async def test_events_from_before_an_erasure_that_arrive_after_it_are_skipped(
    erasure: Tombstone, at_once: int, *, restarted: bool
) -> None:
    data: Hashes = {}
    before = metrics.ERASED_EVENTS._value.get()
    await folded([*BEFORE, erasure, *BEFORE, *BEFORE], data, at_once, restarted=restarted)
    assert items_of(data, "A") == set()
    assert items_of(data, "B") == {"3"}
    assert metrics.ERASED_EVENTS._value.get() - before == 4
    assert "A" not in data[KEYSPACE.active(0)]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("at_once", [1, 100])
async def test_a_user_who_comes_back_has_what_came_after_the_erasure_only(
    at_once: int, *, restarted: bool
) -> None:
    data: Hashes = {}
    after = took(7, ERASED_AT_MS)
    log = [*BEFORE, ERASURES[0], BEFORE[0], after, BEFORE[1], took(8, ERASED_AT_MS + 1)]
    await folded(log, data, at_once, restarted=restarted)
    assert items_of(data, "A") == {"7", "8"}


async def test_events_first_sent_after_the_erasure_are_skipped_by_their_time() -> None:
    data: Hashes = {}
    await folded([*BEFORE, ERASURES[0], took(9, ERASED_AT_MS - 1)], data, 1)
    assert items_of(data, "A") == set()


async def test_a_user_who_was_inactive_for_long_may_come_back_with_any_event() -> None:
    data: Hashes = {}
    await folded([*BEFORE, Tombstone("A", ERASED_AT_MS), BEFORE[0]], data, 1)
    assert items_of(data, "A") == {"1"}


async def test_no_key_names_the_erased_user_and_erasures_of_a_year_ago_are_forgotten() -> None:
    data: Hashes = {}
    later = Tombstone("C", erased_at_ms=ERASED_AT_MS + KEPT_MS)
    await folded([*BEFORE, ERASURES[0], *BEFORE], data, 1)
    assert not data[KEYSPACE.history(0, "A")]
    assert data[KEYSPACE.erased(0)] == {pseudonym("A"): str(ERASED_AT_MS)}
    await folded([later], data, 1)
    assert data[KEYSPACE.erased(0)].keys() == {pseudonym("C")}


async def test_without_erasures_no_user_is_looked_up() -> None:
    data: Hashes = {}
    claim = InMemoryClaim(data, INTERACTIONS)
    fold = fold_of_interactions(
        claim.as_claim(), InMemoryProducer(), Topology(1, 1, 1), HistoryRules(binary, 500)
    )
    log = [took(1, 0, str(user)) for user in range(20)]
    for start in range(20):
        await fold.take(batch(log, start, start + 1))
    assert claim.reads == 20 + 1
