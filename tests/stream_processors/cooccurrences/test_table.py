"""The table together with a store has every sum, whatever is evicted or lost in between."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from contracts.log_position import NOTHING
from stream_processors.cooccurrences import table as tables
from stream_processors.cooccurrences.sums import summed
from stream_processors.cooccurrences.table import (
    UNKNOWN,
    CountTable,
    i_of,
    j_of,
    keys_of,
    rows_in,
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
