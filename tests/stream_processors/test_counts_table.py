"""The table and a store beside it hold every sum, whatever is evicted or lost in between."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_processors.cooccurrences.fold import MarkedRows
from stream_processors.cooccurrences.table import CountTable
from stream_processors.marks import NOTHING

Change = tuple[int, int, float]
"""i, j, delta"""
ids = st.sampled_from([0, 1, 2, 3, 2**40, 2**63 - 1])
changes = st.lists(st.tuples(ids, ids, st.integers(-3, 3).map(float)), min_size=1, max_size=12)
steps = st.lists(
    st.tuples(st.just("flush"), changes) | st.tuples(st.just("crash"), st.just([])), max_size=10
)
Step = tuple[Literal["flush", "crash"], list[Change]]


@dataclass
class Worker:
    """What an agent does with a table, and with a store that is a dict."""

    counts_at_most: int
    marks: dict[int, int] = field(default_factory=dict)
    counts: dict[tuple[int, int], float] = field(default_factory=dict)
    asked: int = 0
    table: CountTable = field(init=False)

    def __post_init__(self) -> None:
        self.crash()

    def crash(self) -> None:
        self.table = CountTable(self.counts_at_most)

    def flush(self, at: int, changes: list[Change]) -> None:
        i, j, delta = zip(*changes, strict=True)
        rows = MarkedRows(
            np.full(len(i), at), np.array(i, np.int64), np.array(j, np.int64), np.array(delta)
        )
        unread = self.table.unread(rows.i)
        marks = [self.marks.get(item, NOTHING) for item in unread.tolist()]
        self.table.learn(unread, np.array(marks, np.int64))
        assert self.table.marks(rows.i).tolist() == [self.marks.get(item, NOTHING) for item in i]
        summed = self.table.sum(rows)
        missing = self.table.missing(summed)
        self.asked += len(missing)
        pairs = self.pairs(missing)
        self.table.insert(missing, np.array([self.counts.get(pair, 0.0) for pair in pairs]))
        assert len(self.table.missing(summed)) == 0
        items = self.table.items(summed.number).tolist()
        ends = [*summed.first.tolist(), len(summed)]
        keys = self.pairs(summed.key)
        assert [{i for i, _ in keys[a:b]} for a, b in pairwise(ends)] == [{i} for i in items]
        self.counts.update(zip(keys, self.table.add(summed).tolist(), strict=True))
        self.marks.update(zip(items, summed.mark.tolist(), strict=True))
        self.table.evict()
        assert len(self.table) <= max(self.counts_at_most, 0)

    def pairs(self, keys: "np.typing.NDArray[np.int64]") -> list[tuple[int, int]]:
        i, j = self.table.item_and_other(keys)
        return list(zip(i.tolist(), j.tolist(), strict=True))


@settings(max_examples=300)
@given(steps=steps, counts_at_most=st.sampled_from([0, 1, 3, 1_000]))
def test_the_store_ends_with_every_sum_and_every_last_mark(
    steps: list[Step], counts_at_most: int
) -> None:
    worker = Worker(counts_at_most)
    sums: dict[tuple[int, int], float] = defaultdict(float)
    marks: dict[int, int] = {}
    for at, (what, changes) in enumerate(steps):
        if what == "crash":
            worker.crash()
            continue
        worker.flush(at, changes)
        for i, j, delta in changes:
            sums[i, j] += delta
            marks[i] = at
    assert worker.counts == sums
    assert worker.marks == marks


def test_a_row_that_was_not_there_before_is_never_asked_for() -> None:
    worker = Worker(counts_at_most=1_000)
    worker.flush(0, [(1, 2, 1.0)])
    worker.flush(1, [(1, 3, 1.0), (1, 2, 1.0)])
    assert worker.asked == 0


def test_after_a_crash_each_count_is_asked_for_once() -> None:
    worker = Worker(counts_at_most=1_000)
    worker.flush(0, [(1, 2, 1.0), (1, 3, 1.0)])
    worker.crash()
    worker.flush(1, [(1, 2, 1.0)])
    worker.flush(2, [(1, 2, 1.0)])
    assert worker.asked == 1


def test_rows_that_were_touched_longest_ago_are_forgotten_first() -> None:
    worker = Worker(counts_at_most=10)
    for at, item in enumerate([1, 2, 3, 1]):
        worker.flush(at, [(item, other, 1.0) for other in range(at + 2)])
    worker.asked = 0
    worker.flush(9, [(1, 0, 1.0)])
    assert worker.asked == 0
