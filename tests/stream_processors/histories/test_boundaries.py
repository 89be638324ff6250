"""An event makes the same changes whatever the batches, flushes and cached histories."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import binary, greatest, weighted
from contracts.changes import Changes, decode_changes
from contracts.log_position import mark
from contracts.messages import EVENT_TYPES, Interaction, Rejection, encode
from contracts.partitioning import user_partition
from contracts.times import DAY_MS
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.topology import Topology
from stream_processors.decoding import interactions
from stream_processors.decoding.interactions import UserEvents
from stream_processors.histories import histories as histories_module
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.rules import HistoryRules
from stream_processors.histories.user_weights import InverseDegree, MeanValue
from stream_processors.partition.fold import Folds
from stream_processors.transport.batches import RecordBatch
from tests.stream_processors.folding import decoding, fold_of_interactions
from tests.stream_processors.in_memory import KEYSPACE, InMemoryClaim, InMemoryProducer, groups_of
from tests.stream_processors.records import batch_of
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
    event=st.sampled_from(EVENT_TYPES),
    price=st.none() | st.floats(1, 1_000),
    ts=times,
)
Record = Interaction | Tombstone | None
logs = st.lists(
    events | events | events | st.builds(Tombstone, users, st.none() | times) | st.none(),
    min_size=1,
    max_size=25,
)
rules = st.builds(
    HistoryRules,
    st.sampled_from([binary, weighted(14.0), greatest(14.0)]),
    st.sampled_from([1, 2, 3, 500]),
    st.sampled_from([None, None, InverseDegree(0.5), MeanValue(1.0, 50.0)]),
)
flushes = st.lists(st.tuples(st.integers(0, 6), st.none() | st.integers(0, 3)), max_size=8)
"""After how many more records, and how many groups are written before a crash, if any."""

Entries = dict[tuple[int, int], float]


def batch(log: Sequence[Record], first: int, end: int) -> RecordBatch:
    keys, headers = {}, {}
    values: list[tuple[int, bytes | None]] = []
    for offset in range(first, end):
        record = log[offset]
        if isinstance(record, Tombstone):
            keys[offset], headers[offset] = encode_tombstone(record)
            values.append((offset, None))
        else:
            values.append((offset, b"{}" if record is None else encode(record)))
    made = batch_of(INTERACTIONS.name, 0, values, start=first, keys=keys)
    made.records[:] = [
        dataclasses.replace(record, headers=headers.get(record.offset, ()))
        for record in made.records
    ]
    return made


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
    log: Sequence[Record], rules: HistoryRules, flushes: Sequence[tuple[int, int | None]]
) -> tuple[dict[int, list[Entries]], Hashes, set[int]]:
    """Return what was published by offset, the store, and the offsets of rejected records."""
    data: Hashes = {}
    producer = InMemoryProducer()
    rejected: set[int] = set()
    position = at = 0
    histories, claim = fold_of(data, producer, rules)
    for more, groups in [*flushes, (len(log), None)]:
        end = min(at + more, len(log))
        rejections = await histories.take(batch(log, at, end))
        rejected |= {at + rejection.place for rejection in rejections}
        at = end
        unwritten = await histories.unwritten()
        claim.write(await groups_of(unwritten), groups)
        if groups is None:
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
    log: list[Record], rules: HistoryRules, flushes: list[tuple[int, int | None]], cached: int
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
        kept = [{name for name in one if name != "off"} for one in stored]
        assert kept[0] == kept[1]
        if kept[0]:
            assert stored[0] == stored[1]
    assert data.get(KEYSPACE.active(0), {}) == cut_data.get(KEYSPACE.active(0), {})


async def test_histories_in_memory_are_not_read_again() -> None:
    data: Hashes = {}
    histories, claim = fold_of(data, InMemoryProducer(), HistoryRules(binary, 500))
    log = [Interaction(user_id=user, instrument_id=item, ts=0) for item in (1, 2) for user in "AB"]
    for at in range(len(log)):
        await histories.take(batch(log, at, at + 1))
        claim.write((await histories.unwritten()).groups)
        histories.written()
    assert claim.reads == 2 + 1, "and whether any user was erased"


async def test_a_bare_history_is_deleted_once_the_position_has_passed() -> None:
    data: Hashes = {}
    histories, claim = fold_of(data, InMemoryProducer(), HistoryRules(binary, 500))
    log: list[Record] = [
        Interaction(user_id="A", instrument_id=1, ts=0),
        Tombstone("A"),
        Interaction(user_id="B", instrument_id=1, ts=0),
        Interaction(user_id="A", instrument_id=2, ts=1),
    ]
    stored = []
    for at in range(len(log)):
        await histories.take(batch(log, at, at + 1))
        claim.write((await histories.unwritten()).groups)
        histories.written()
        stored.append(dict(data[KEYSPACE.history(0, "A")]))
    with_item = {"off": "[0,0]", "1": '{"r":1,"t":0}'}
    with_new_item = {"off": "[0,3]", "erased": "1", "2": '{"r":1,"t":1}'}
    assert stored == [with_item, {"off": "[0,1]"}, {}, with_new_item]


async def test_a_record_in_the_wrong_partition_is_rejected_and_names_its_user() -> None:
    topology = Topology(quotes=1, interactions=2, cooccurrences=1)
    here, elsewhere = sorted("AB", key=lambda user: user_partition(user, 2))
    if user_partition(here, 2) == user_partition(elsewhere, 2):
        here, elsewhere = sorted(map(str, range(9)), key=lambda user: user_partition(user, 2))[::8]
    claim = InMemoryClaim({}, INTERACTIONS, partition=0)
    histories = fold_of_interactions(
        claim.as_claim(), InMemoryProducer(), topology, HistoryRules(binary, 500)
    )
    log: list[Record] = [
        Interaction(user_id=here, instrument_id=1, ts=0),
        Interaction(user_id=elsewhere, instrument_id=1, ts=0),
        Tombstone(elsewhere),
        Tombstone(here),
    ]
    rejections = await histories.take(batch(log, 0, len(log)))
    assert [place for place, _ in rejections] == [1, 2]
    assert f"user_id {elsewhere!r} does not belong to partition 0" in rejections[0].reason


async def test_a_tombstone_without_a_user_is_rejected() -> None:
    histories, _ = fold_of({}, InMemoryProducer(), HistoryRules(binary, 500))
    values = batch_of(INTERACTIONS.name, 0, [(0, None), (1, None)], keys={1: b"\xff"})
    rejections = await histories.take(values)
    assert [place for place, _ in rejections] == [0, 1]
    assert isinstance(rejections[0], Rejection)
    assert "no key that names the user" in rejections[0].reason


async def test_marks_carry_the_logs_incarnation() -> None:
    data: Hashes = {}
    claim = InMemoryClaim(data, INTERACTIONS, incarnation=3)
    producer = InMemoryProducer()
    histories = HistoriesFold(claim.as_claim(), producer, TOPOLOGY, HistoryRules(binary, 500))
    records = batch([Interaction(user_id="A", instrument_id=1, ts=0)], 0, 1)
    await histories.take(decoding(interactions.decode, TOPOLOGY.interactions)(records)[0])
    claim.write((await histories.unwritten()).groups)
    assert data[KEYSPACE.history(0, "A")]["off"] == "[3,0]"
    assert histories._cache.get("A").mark == mark(3, 0)


async def test_longer_histories_mean_fewer_records_per_batch() -> None:
    histories, claim = fold_of({}, InMemoryProducer(), HistoryRules(binary, 500))
    at_once = [histories.records_at_once]
    short: list[Record] = [
        Interaction(user_id=str(user), instrument_id=0, ts=0) for user in range(1_000)
    ]
    long: list[Record] = [Interaction(user_id="A", instrument_id=item, ts=0) for item in range(400)]
    for log, first, end in ((short, 0, 1_000), (long, 1_000, 1_400)):
        at = first
        while at < end:
            size = min(end - at, at_once[-1], 50)
            values = [(n, encode(log[n - first])) for n in range(at, at + size)]  # type: ignore[arg-type]
            await histories.take(batch_of(INTERACTIONS.name, 0, values))
            at += size
            at_once.append(histories.records_at_once)
        claim.write((await histories.unwritten()).groups)
        histories.written()
    rows = histories_module._ROWS_UNPUBLISHED
    assert at_once[0] == round(rows / (2 * (2 * 500 + 1)))
    assert max(at_once) == histories_module._RECORDS_AT_ONCE.stop
    assert rows / (2 * 400) < at_once[-1] < rows / (2 * 300)


async def test_a_fold_is_full_when_many_rows_are_unpublished_or_many_items_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = [Interaction(user_id="A", instrument_id=item, ts=0) for item in range(3)]
    for name, bound in (("_ROWS_UNPUBLISHED", 1 + 3 + 5), ("_ITEMS_CACHED", 16)):
        with monkeypatch.context() as patch:
            patch.setattr(histories_module, name, bound)
            histories, claim = fold_of({}, InMemoryProducer(), HistoryRules(binary, 500))
            assert not histories.is_full
            await histories.take(batch(log, 0, 3))
            assert histories.is_full
            claim.write((await histories.unwritten()).groups)
            histories.written()
            assert not histories.is_full
