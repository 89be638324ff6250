"""An event makes the same changes whatever the batches, flushes and cached histories."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import binary, greatest, weighted
from contracts.changes import Changes, decode_changes
from contracts.event_types import BUILT_IN
from contracts.keyspace import NOT_ITEMS
from contracts.messages import Interaction
from contracts.times import DAY_MS
from contracts.tombstones import Tombstone
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.topology import Topology
from stream_processors.decoding.interactions import UserEvents
from stream_processors.histories import histories as histories_module
from stream_processors.histories.rules import HistoryRules
from stream_processors.histories.scaled_fold import InverseDegree, MeanValue
from stream_processors.partition.fold import Folds
from tests.stream_processors.folding import UserEvent, batch_of_events, fold_of_interactions
from tests.stream_processors.in_memory import KEYSPACE, InMemoryClaim, InMemoryProducer, groups_of
from tests.stream_processors.simulated_store import Hashes
from tests.stream_processors.spread import spread

TOPOLOGY = Topology(quotes=1, interactions=1, cooccurrences=2)
START_MS = 1_600_000_000_000

users = st.sampled_from("ABC")
times = st.integers(0, 40).map(lambda day: START_MS + day * DAY_MS)
events = st.builds(
    Interaction,
    user_id=users,
    instrument_id=st.integers(0, 5),
    event=st.sampled_from(list(BUILT_IN)),
    price=st.none() | st.floats(1, 1_000),
    ts=times,
)
logs = st.lists(
    events | events | events | st.builds(Tombstone, users, *[st.none() | times] * 2) | st.none(),
    min_size=1,
    max_size=25,
)
rules = st.builds(
    HistoryRules,
    st.sampled_from([binary, weighted(14.0), greatest(14.0)]),
    st.sampled_from([1, 2, 3, 500]),
    st.sampled_from([None, None, InverseDegree(0.5), MeanValue(1.0, 50.0)]),
)
flushes = st.lists(st.tuples(st.integers(0, 6), st.none() | st.integers(0, 63)), max_size=8)
"""After how many more records, and by bits which groups are not lost by a failover, if any is."""

Entries = dict[tuple[int, int], float]


def published(producer: InMemoryProducer) -> dict[int, list[Entries]]:
    """Each offset's changes in G, for each time that it was published."""
    found: dict[int, list[Entries]] = defaultdict(list)
    for partition in range(TOPOLOGY.cooccurrences):
        of_offset: dict[int, list[Entries]] = defaultdict(list)
        for record in producer.logs[COOCCURRENCES.name, partition]:
            changes = decode_changes(record.value)
            for offset in offsets_in(changes):
                of_offset[offset].append(entries_of(changes, offset))
        for offset, times in of_offset.items():
            found[offset] += [
                {(partition, *entry): delta for entry, delta in one.items()}  # type: ignore[misc]
                for one in times
            ]
    return found


def offsets_in(changes: Changes) -> set[int]:
    offsets = {*changes.own.offset.tolist(), *changes.mirrored.offset.tolist()}
    return offsets | {one.offset for one in changes.taken_out}


def entries_of(changes: Changes, offset: int) -> Entries:
    """An offset's changes by entry: all deltas, as a sum would depend on their order."""
    entries: dict[tuple[int, int], list[float]] = defaultdict(list)
    own, mirrored = (
        dataclasses.replace(
            blocks,
            offset=blocks.offset[at],
            item=blocks.item[at],
            rows=blocks.rows[at],
            other=blocks.other[rows],
            delta=blocks.delta[rows],
        )
        for blocks in (changes.own, changes.mirrored)
        for at in [blocks.offset == offset]
        for rows in [at.repeat(blocks.rows)]
    )
    its = [one for one in changes.taken_out if one.offset == offset]
    for rows in spread(Changes(0, 0, 0, own, mirrored, its)):
        columns = (column.tolist() for column in rows)
        for i, j, delta in zip(*columns, strict=True):
            entries[i, j].append(delta)
    return {entry: sum(sorted(deltas)) for entry, deltas in entries.items()}


async def fold(
    log: Sequence[UserEvent], rules: HistoryRules, flushes: Sequence[tuple[int, int | None]]
) -> tuple[dict[int, list[Entries]], Hashes, set[int]]:
    """Return what was published by offset, the store, and the offsets of rejected records."""
    data: Hashes = {}
    producer = InMemoryProducer()
    rejected: set[int] = set()
    position = at = 0
    histories, claim = fold_of(data, producer, rules)
    for more, kept in [*flushes, (len(log), None)]:
        end = min(at + more, len(log))
        rejections = await histories.take(batch_of_events(log, at, end))
        rejected |= {at + rejection.place for rejection in rejections}
        at = end
        unwritten = await histories.unwritten()
        its = await groups_of(unwritten)
        claim.write(its if kept is None else [one for n, one in enumerate(its) if kept >> n & 1])
        if kept is None:
            histories.written()
            position = at
        else:
            histories, claim = fold_of(data, producer, rules)
            at = position
    return published(producer), data, rejected


def fold_of(
    data: Hashes, producer: InMemoryProducer, rules: HistoryRules
) -> tuple[Folds[UserEvents], InMemoryClaim]:
    claim = InMemoryClaim(data, INTERACTIONS)
    return fold_of_interactions(claim.as_claim(), producer, TOPOLOGY, rules), claim


@given(log=logs, rules=rules, flushes=flushes, cached=st.sampled_from([0, 40, 10_000]))
async def test_each_offset_changes_the_same_however_often_it_is_published(
    log: list[UserEvent], rules: HistoryRules, flushes: list[tuple[int, int | None]], cached: int
) -> None:
    whole, data, rejected = await fold(log, rules, [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories_module, "_ITEMS_CACHED", cached)
        cut, cut_data, cut_rejected = await fold(log, rules, flushes)
    assert cut.keys() == whole.keys()
    for offset, times in cut.items():
        assert all(any(one == other for other in whole[offset]) for one in times)
    assert rejected == cut_rejected == {n for n, record in enumerate(log) if record is None}
    for user in "ABC":
        key = KEYSPACE.history(0, user)
        stored = [{**data_.get(key, {})} for data_ in (data, cut_data)]
        items = [one.keys() - NOT_ITEMS for one in stored]
        assert items[0] == items[1]
        if items[0]:
            assert stored[0] == stored[1]
    for key in (KEYSPACE.active(0), KEYSPACE.erased(0)):
        assert data.get(key, {}) == cut_data.get(key, {})
