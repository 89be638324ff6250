"""Leaving users subtract what they added, in memory that does not grow with their pairs."""

import tracemalloc
from collections import defaultdict
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import Blocks, Changes, TakenOut, encode_changes
from contracts.partitioning import row_of
from contracts.topics import COOCCURRENCES
from stream_processors.cooccurrences import counts as counts_module
from stream_processors.cooccurrences.leaving import Leaving, pieces
from stream_processors.cooccurrences.sums import Unsummed
from stream_processors.cooccurrences.table import i_of, j_of, keys_of
from stream_processors.store.chunks import each_part
from tests.stream_processors.folding import folds_of_changes
from tests.stream_processors.in_memory import LINEAGE, InMemoryClaim, store_of
from tests.stream_processors.records import batch_of

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
