"""Each partition gets its rows, in messages that Kafka accepts, split between events only."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import EVENT_BYTES, ROW_BYTES, Blocks, Changes, TakenOut, encode_changes
from contracts.pairs import row_of
from contracts.partitioning import instrument_partition
from stream_processors.cooccurrences.sums import holders_of
from stream_processors.decoding import placement
from stream_processors.decoding.placement import ItemPartitions
from stream_processors.histories import fold, scaled_fold
from stream_processors.histories.fold import Change, Leaving
from stream_processors.histories.outgoing import MESSAGE_BYTES, PAIR_BYTES, Message, messages
from stream_processors.transport import producer
from tests.stream_processors.spread import spread

_OF_A_RECORD = 100
"""Overhead of a record in Kafka's format, in bytes."""
PARTITIONS = 3

ids = st.sampled_from([0, 1, 2, 3, 4, 2**21, 2**63 - 1])
numbers = st.integers(-3, 3).map(float)
others = st.dictionaries(ids, numbers, max_size=5)
AnyChange = Change | Leaving
Entries = dict[tuple[int, int, int], float]
"""partition, i, j -> delta"""


def change_of(item: int, others: dict[int, float], own: float, holders: int) -> Change:
    others.pop(item, None)
    its = {**others, item: own}
    return Change(0, item, np.array([*its], np.int64), np.array([*its.values()]), holders)


def leaving_of(items: dict[int, float]) -> Leaving:
    return Leaving(0, np.array([*items], np.int64), np.array([*items.values()]))


@st.composite
def logs(draw: st.DrawFn) -> list[AnyChange]:
    """Changes at ascending offsets, some of the same event."""
    changes = draw(
        st.lists(
            st.builds(change_of, ids, others, numbers, st.integers(-1, 1))
            | st.builds(leaving_of, st.dictionaries(ids, numbers, min_size=1, max_size=5)),
            max_size=12,
        )
    )
    offset, log = 5, []
    for change in changes:
        offset += draw(st.integers(0, 2))
        log.append(change._replace(offset=offset))
    return log


def entries_of(changes: list[AnyChange]) -> Entries:
    entries: Entries = defaultdict(float)
    for change in changes:
        if isinstance(change, Leaving):
            pairs = zip(change.item.tolist(), change.affinity.tolist(), strict=True)
            its = list(pairs)
            for i, r_i in its:
                for j, r_j in its:
                    if row_of(i, j) == i:
                        entries[instrument_partition(i, PARTITIONS), i, j] -= r_i * r_j
            continue
        for j, delta in zip(change.j.tolist(), change.delta.tolist(), strict=True):
            row = row_of(change.item, j)
            column = j if row == change.item else change.item
            entries[instrument_partition(row, PARTITIONS), row, column] += delta
    return {entry: delta for entry, delta in entries.items() if delta}


def sent_by(log: list[AnyChange], enough_bytes: int) -> list[Iterator[Message]]:
    return messages(log, ItemPartitions(PARTITIONS), enough_bytes, counts_holders=True)


def received_by(partition: int, sent: list[Message]) -> Entries:
    entries: Entries = defaultdict(float)
    for one in sent:
        for rows in spread(Changes(0, 0, 0, *one)):
            columns = (column.tolist() for column in rows)
            for i, j, delta in zip(*columns, strict=True):
                entries[partition, i, j] += delta
    return {entry: delta for entry, delta in entries.items() if delta}


def offsets_in(message: Message) -> list[int]:
    offsets = [*message.own.offset.tolist(), *message.mirrored.offset.tolist()]
    return [*offsets, *(one.offset for one in message.taken_out)]


def test_leaving_users_share_a_message_only_as_far_as_its_reader_can_handle_their_pairs() -> None:
    items, ones = np.arange(500), np.ones(500)
    log: list[AnyChange] = [Leaving(offset, items, ones) for offset in range(20)]
    (sent,) = messages(log, ItemPartitions(1), MESSAGE_BYTES, counts_holders=False)
    pairs = [sum(map(len, one.taken_out)) for one in sent]
    assert sum(pairs) == 20 * 500 * 501 / 2
    assert max(pairs) == 2 * 500 * 501 / 2


@given(log=logs(), enough_bytes=st.integers(1, 300))
def test_all_partitions_together_get_each_entry_once(
    log: list[AnyChange], enough_bytes: int
) -> None:
    sent = [list(its) for its in sent_by(log, enough_bytes)]
    entries: Entries = {}
    for partition, its in enumerate(sent):
        entries |= received_by(partition, its)
    assert entries == entries_of(log)


@given(log=logs(), enough_bytes=st.integers(1, 300))
def test_an_items_partition_gets_how_many_users_have_it(
    log: list[AnyChange], enough_bytes: int
) -> None:
    found, expected = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for partition, its in enumerate(sent_by(log, enough_bytes)):
        for message in its:
            for items, holders in holders_of(Changes(0, 0, 0, *message)):
                assert holders is not None
                for item, change in zip(items.tolist(), holders.tolist(), strict=True):
                    found[partition, item] += change
    for change in log:
        if isinstance(change, Change):
            expected[instrument_partition(change.item, PARTITIONS), change.item] += change.holders
            continue
        for item, affinity in zip(change.item.tolist(), change.affinity.tolist(), strict=True):
            expected[instrument_partition(item, PARTITIONS), item] -= affinity > 0
    assert {of: n for of, n in found.items() if n} == {of: n for of, n in expected.items() if n}


def test_with_affinities_of_1_messages_omit_how_many_users_have_an_item() -> None:
    (sent,) = messages([change_of(1, {}, 1.0, 1)], ItemPartitions(1), 1, counts_holders=False)
    assert next(sent).own.holders is None


@given(log=logs(), enough_bytes=st.integers(1, 300))
def test_each_offset_is_in_one_message_per_partition_in_ascending_order(
    log: list[AnyChange], enough_bytes: int
) -> None:
    for its in sent_by(log, enough_bytes):
        last = -1
        for message in its:
            assert min(offsets_in(message)) > last
            last = max(offsets_in(message))
            for blocks in (message.own, message.mirrored):
                assert (np.diff(blocks.offset) >= 0).all()


@given(log=logs(), enough_bytes=st.integers(1, 300))
def test_a_message_ends_with_the_offset_that_reaches_the_limit(
    log: list[AnyChange], enough_bytes: int
) -> None:
    for its in sent_by(log, enough_bytes):
        sent = list(its)
        for one in sent[:-1]:
            assert size(one) >= enough_bytes
        for one in sent:
            before_last = [offset for offset in offsets_in(one) if offset < max(offsets_in(one))]
            assert not before_last or size(one, max(before_last)) < enough_bytes


def size(message: Message, last: int = 2**62) -> int:
    blocks = [
        (offset, rows)
        for some in (message.own, message.mirrored)
        for offset, rows in zip(some.offset.tolist(), some.rows.tolist(), strict=True)
    ]
    blocks += [(one.offset, len(one.i) + len(one.j)) for one in message.taken_out]
    pairs = sum(len(one) for one in message.taken_out if one.offset <= last)
    size = sum(EVENT_BYTES + ROW_BYTES * rows for offset, rows in blocks if offset <= last)
    return size + PAIR_BYTES * pairs


@pytest.mark.parametrize("cap", [1, 500, 5_000])
@pytest.mark.parametrize("changes", [fold.CHANGES_AN_EVENT, scaled_fold.CHANGES_AN_EVENT])
def test_a_message_of_the_widest_numbers_is_below_the_limit(cap: int, changes: int) -> None:
    greatest_event = changes * (2 * EVENT_BYTES + ROW_BYTES * cap)
    n = max(MESSAGE_BYTES, greatest_event) // (EVENT_BYTES + ROW_BYTES)
    wide, ones = np.full(n, 2**62), np.ones(n, np.int64)
    blocks = Blocks(np.arange(n) << 34, wide, ones, wide, np.full(n, 0.1), holders=-ones)
    message = encode_changes(Changes(7, 9, 2**52, blocks, Blocks.none()))
    assert len(message) + _OF_A_RECORD < producer._MAX_REQUEST_BYTES


def test_a_user_with_the_longest_history_leaves_in_one_message() -> None:
    wide, floats = np.full(5_000, 2**62), np.full(5_000, 0.1)
    one = TakenOut(2**48, wide, floats, wide, floats)
    message = encode_changes(Changes(7, 9, 2**52, Blocks.none(), Blocks.none(), [one]))
    assert len(message) + _OF_A_RECORD < producer._MAX_REQUEST_BYTES


def test_items_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_ITEMS_AT_MOST", 10)
    partitions = ItemPartitions(PARTITIONS)
    for first in range(0, 200, 3):
        items = np.arange(first, first + 6)
        expected = [instrument_partition(item, PARTITIONS) for item in items.tolist()]
        assert partitions.of(items).tolist() == expected
        assert len(partitions._index) == len(partitions._partition) <= 10 + len(items)
