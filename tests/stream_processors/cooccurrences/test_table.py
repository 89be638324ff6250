"""The table together with a store has every sum; leaving users subtract what they added."""

import tracemalloc
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import Blocks, Changes, TakenOut, encode_changes
from contracts.log_position import NOTHING
from contracts.partitioning import row_of
from contracts.topics import COOCCURRENCES
from stream_processors.cooccurrences import counts as counts_module
from stream_processors.cooccurrences import table as tables
from stream_processors.cooccurrences.leaving import Leaving, pieces
from stream_processors.cooccurrences.sums import Unsummed, summed
from stream_processors.cooccurrences.table import UNKNOWN, CountTable, i_of, j_of, keys_of, rows_in
from stream_processors.store.chunks import each_part
from tests.stream_processors.folding import (
    LINEAGE,
    InMemoryClaim,
    batch_of,
    folds_of_changes,
    store_of,
)

Change = tuple[int, int, float]
"""i, j, delta"""


@dataclass
class Worker:
    """A fold's use of a table, with a dict as the store."""

    counts_at_most: int
    rows: set[int] = field(default_factory=set)
    counts: dict[tuple[int, int], float] = field(default_factory=dict)
    asked: int = 0
    table: CountTable = field(init=False)

    def __post_init__(self) -> None:
        self.crash()

    def crash(self) -> None:
        self.table = CountTable(self.counts_at_most)

    def flush(self, changes: list[Change]) -> None:
        i, j, delta = zip(*changes, strict=True)
        numbers = [self.table.numbers(np.array(column, np.int64)) for column in (i, j)]
        unread = self.table.unread(numbers[0])
        rows = [item in self.rows for item in self.table.items(unread).tolist()]
        self.table.learn(unread, np.where(rows, 5, NOTHING), np.full(len(rows), UNKNOWN))
        # Users' affinities are 0 or 1, so that users need not be counted.
        self.table.add_holders(numbers[0], None, 6)
        assert len(self.table.unread(numbers[0])) == 0
        sums = summed(keys_of(*numbers), np.array(delta))
        found = self.table.find(sums)
        missing = self.pairs(found.missing)
        self.asked += len(missing)
        counts = self.table.add(found, np.array([self.counts.get(pair, 0.0) for pair in missing]))
        self.counts.update(zip(self.pairs(sums.key), counts.tolist(), strict=True))
        self.rows |= set(self.table.items(rows_in(sums.key)).tolist())
        assert self.rows >= set(i)
        self.table.evict()
        self.table.forget_items()
        assert len(self.table) <= max(self.counts_at_most, 0)

    def pairs(self, keys: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        i, j = self.table.items(i_of(keys)), self.table.items(j_of(keys))
        return list(zip(i.tolist(), j.tolist(), strict=True))


@pytest.fixture(autouse=True, scope="module")
def _forget_often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_ITEMS_AT_MOST", 3)
        yield


def test_a_count_is_read_once_after_a_crash_and_never_of_a_row_that_did_not_exist() -> None:
    worker = Worker(counts_at_most=1_000)
    worker.flush([(1, 2, 1.0)])
    worker.flush([(1, 3, 1.0), (1, 2, 1.0)])
    assert worker.asked == 0
    worker.crash()
    worker.flush([(1, 2, 1.0)])
    worker.flush([(1, 2, 1.0)])
    assert worker.asked == 1


def test_least_recently_touched_rows_are_forgotten_first() -> None:
    worker = Worker(counts_at_most=10)
    for n, item in enumerate([1, 2, 3, 1]):
        worker.flush([(item, other, 1.0) for other in range(n + 2)])
    worker.asked = 0
    worker.flush([(1, 0, 1.0)])
    assert worker.asked == 0


def test_a_count_that_is_only_rounding_becomes_0() -> None:
    worker = Worker(counts_at_most=1_000)
    for delta in (0.1 * 2.0**200, 0.2 * 2.0**200, 0.7 * 2.0**200):
        worker.flush([(1, 2, delta), (1, 1, delta), (1, 3, 1.0)])
    worker.flush([(1, 2, -(2.0**200))])
    assert worker.counts[1, 2] == 0
    assert worker.counts[1, 3] == 3.0


def test_the_smallest_whole_counts_stay() -> None:
    worker = Worker(counts_at_most=1_000)
    worker.flush([(1, 1, 2.0**52)])
    worker.flush([(1, 1, 1 - 2.0**52)])
    assert worker.counts[1, 1] == 1.0


def test_a_row_without_users_is_all_zeros() -> None:
    worker = Worker(counts_at_most=1_000)
    worker.flush([(1, 1, 0.5), (1, 2, 0.5), (2, 1, 0.5), (2, 2, 0.5)])
    worker.flush([(1, 1, -0.5)])
    worker.asked = 0
    worker.flush([(1, 1, 0.5), (1, 2, 0.25), (1, 4, 0.25)])
    assert worker.counts[1, 2] == 0.25
    assert worker.counts[2, 1] == 0.5
    assert worker.asked == 0


def test_an_item_must_be_listed_until_it_is() -> None:
    table = CountTable(1_000)
    numbers = table.numbers(np.array([5, 6]))
    yes, no = np.array([True, True]), np.array([False, True])
    assert table.list_items(numbers, yes).tolist() == [True, True]
    assert table.list_items(numbers, yes).tolist() == [False, False]
    assert table.list_items(numbers, no).tolist() == [False, False]
    assert table.list_items(numbers, yes).tolist() == [True, False]


def test_items_without_a_count_in_memory_are_forgotten() -> None:
    worker = Worker(counts_at_most=4)
    for item in range(100):
        worker.flush([(item, item, 1.0), (item, item + 1, 1.0)])
        known = worker.table._items
        assert len(known) <= 2 * 4 + 2
    assert len(worker.table._rows) == len(worker.table._texts) == len(known)
    assert sum(worker.counts.values()) == 200


MB = 1 << 20
COUNTS_AT_ONCE = 10_000
ITEMS = np.array([8, 3, 0, 6, 1, 2**62, 5])
"""by number"""
ids = st.integers(0, len(ITEMS) - 1)
affinities = st.sampled_from([0.25, 1.0, 3.0])
users = st.lists(st.dictionaries(ids, affinities, min_size=1), max_size=4)
others = st.lists(st.tuples(ids, ids, st.sampled_from([-1.0, 0.5, 2.0])), max_size=12)


def is_here(item: int) -> bool:
    return item % 2 == 0


@given(users=users, others=others, at_once=st.integers(1, 40))
def test_pieces_are_whole_rows_by_ascending_key_and_together_all_changes(
    users: list[dict[int, float]], others: list[tuple[int, int, float]], at_once: int
) -> None:
    expected: dict[tuple[int, int], float] = defaultdict(float)
    leaving, unsummed = Leaving(), Unsummed(5, 10)
    for i, j, delta in others:
        unsummed.add(keys_of(np.array([i]), np.array([j])), np.array([delta]))
        expected[i, j] += delta
    for user in users:
        here = [item for item in user if is_here(item)]
        r_here, r = [user[item] for item in here], list(user.values())
        leaving.add(np.array(here, np.int64), np.array(r_here), np.array([*user]), np.array(r))
        for i in here:
            for j in user:
                if row_of(ITEMS[i], ITEMS[j]) == ITEMS[i]:
                    expected[i, j] -= user[i] * user[j]
    assert leaving.pairs == sum(len(user) * sum(map(is_here, user)) for user in users)
    found: dict[tuple[int, int], float] = {}
    before = -1
    for sums in pieces(unsummed.take(), leaving.take(ITEMS), at_once):
        keys = sums.key.tolist()
        assert keys == sorted(set(keys))
        assert min(i_of(sums.key)) > before
        before = max(i_of(sums.key))
        columns = i_of(sums.key).tolist(), j_of(sums.key).tolist(), sums.delta.tolist()
        found |= {(i, j): delta for i, j, delta in zip(*columns, strict=True)}
        if sums.size is not None:
            assert (sums.size >= np.abs(sums.delta)).all()
    assert found == expected
    assert leaving.pairs == 0


def test_a_piece_has_no_more_changes_than_it_may_unless_they_are_of_one_row() -> None:
    leaving, items, ones = Leaving(), np.arange(30), np.ones(30)
    for _ in range(3):
        leaving.add(items, ones, items, ones)
    none = Unsummed(1, 1).take()
    found = [*pieces(none, leaving.take(items), 3 * 30 * 7)]
    assert [len(np.unique(i_of(sums.key))) for sums in found] == [7, 7, 7, 7, 2]
    leaving.add(items, ones, items, ones)
    found = [*pieces(none, leaving.take(items), 1)]
    assert [sums.key.tolist() for sums in found] == [
        [keys_of(i, j) for j in range(30) if row_of(i, j) == i] for i in range(30)
    ]


async def test_memory_does_not_grow_with_the_pairs_of_users_who_leave_in_one_message() -> None:
    n_users, n_items, all_items = 8, 300, 20_000
    rng = np.random.default_rng(7)
    ones = np.ones(n_items)
    users = [rng.choice(all_items, n_items, replace=False) for _ in range(n_users)]
    taken_out = [TakenOut(n, items, ones, items, ones) for n, items in enumerate(users)]
    none = Blocks.none()
    message = encode_changes(Changes(0, 0, LINEAGE, none, none, taken_out))
    pairs = n_users * n_items**2
    claim = InMemoryClaim({}, COOCCURRENCES)
    with (
        mock.patch.object(counts_module, "_COUNTS_CACHED", COUNTS_AT_ONCE),
        mock.patch.object(counts_module, "_CHANGES_AT_ONCE", COUNTS_AT_ONCE),
        mock.patch.object(counts_module, "_PAIRS_UNWRITTEN", pairs),
    ):
        fold = folds_of_changes(claim.as_claim(), store_of({}))
        tracemalloc.start()
        try:
            await fold.take(batch_of(COOCCURRENCES.name, 0, [(0, message)]))
            assert fold.is_full
            written = 0
            async for groups in each_part((await fold.unwritten()).groups):
                written += sum(1 for _ in groups)
            fold.written()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert written == len(np.unique(np.concatenate(users)))
    # As sums of 24 bytes each, sorted, they would take several times 17 MB.
    assert peak < 10 * MB, f"{peak / MB:.0f} MB for {pairs} pairs"


async def test_after_messages_of_many_pairs_fewer_are_taken_at_once() -> None:
    items, ones = np.arange(200), np.ones(200)
    taken_out = [TakenOut(n, items, ones, items, ones) for n in range(30)]
    none = Blocks.none()
    message = encode_changes(Changes(0, 0, LINEAGE, none, none, taken_out))
    fold = folds_of_changes(InMemoryClaim({}, COOCCURRENCES).as_claim(), store_of({}))
    assert fold.records_at_once == 8
    await fold.take(batch_of(COOCCURRENCES.name, 0, [(0, message)]))
    assert fold.records_at_once == 1
