"""Each id has one row, whatever clients choose as ids, and no choice takes long."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.messages import Ints
from stream_processors import ids
from stream_processors.bars.table import BarTable
from stream_processors.cooccurrences.table import CountTable
from stream_processors.decoding.placement import ItemPartitions, Placement
from stream_processors.ids import NONE, Growable, IdIndex

INT64 = np.iinfo(np.int64)
A_BATCH = 5_000

some_ids = st.lists(
    st.integers(-3, 9)
    | st.integers(ids._SMALL - 2, ids._SMALL + 1)
    | st.integers(INT64.min, INT64.max),
    max_size=20,
)
runs_of_ids = st.builds(lambda n: list(range(1 << 40, (1 << 40) + n)), st.integers(0, 3_000))


def test_growing_one_by_one_moves_the_values_a_few_times_only() -> None:
    array, rooms = Growable(np.empty(0, np.int64)), set[int]()
    for n in range(10_000):
        array.grow(1)[0] = n
        rooms.add(len(array.room))
    assert len(rooms) < 15


@example(  # a table grows while some of the one before is not moved yet
    steps=[list(range(1 << 40, (1 << 40) + n)) for n in (500, 520, 3_000)], asked=[]
)
@given(steps=st.lists(some_ids | runs_of_ids | st.integers(1, 3), max_size=8), asked=some_ids)
def test_each_id_that_was_added_has_a_row_of_its_own_and_no_other_has_one(
    steps: list[list[int] | int], asked: list[int]
) -> None:
    index, known = IdIndex(), dict[int, int]()
    for step in steps:
        if isinstance(step, int):
            before = list(known)
            known = {one: row for row, one in enumerate(before[::step])}
            is_kept = np.arange(len(before)) % step == 0
            assert index.keep(is_kept).tolist() == [known.get(one, NONE) for one in before]
        else:
            rows = index.add_unknown(np.array(step, np.int64))
            for one in sorted(set(step) - set(known)):
                known[one] = len(known)
            assert rows.tolist() == [known[one] for one in step]
        assert index.ids.tolist() == list(known)
    both = [*asked, *known]
    assert index.rows(np.array(both, np.int64)).tolist() == [known.get(one, NONE) for one in both]


def collide_in_np_unique() -> Ints:
    """Return ids whose FNV-1a is a multiple of the slots that `np.unique` has for so many."""
    slots, factor, found = 4_703, np.uint64(0x100000001B3), list[Ints]()
    while sum(map(len, found)) < slots:
        hashed = np.full(1 << 20, 0xCBF29CE484222325, np.uint64)
        some = np.random.default_rng(len(found)).integers(1 << 20, 1 << 62, len(hashed))
        for digit in some.view(np.uint8).reshape(-1, 8).T:
            hashed = (hashed ^ digit) * factor
        found.append(some[hashed % np.uint64(slots) == 0])
    return np.concatenate(found)[:slots]


COUNT = np.arange(10_000)
# Multiplied by 2^64 over the golden ratio, as Knuth hashes, these are small numbers.
INVERSES = 2 * COUNT.view(np.uint64) * np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
CHOSEN: dict[str, Callable[[], Ints]] = {
    "a known factor": lambda: INVERSES[INVERSES < 1 << 63].view(np.int64),
    "np.unique": collide_in_np_unique,
    **{f"multiples of 2^{bits}": partial(np.left_shift, COUNT, bits) for bits in (20, 32, 44, 49)},
    "a run": lambda: COUNT + (1 << 40),
    "descending": lambda: INT64.max - COUNT,
}


def partitions_of_users() -> Callable[[Ints], object]:
    placement = Placement(1)
    return lambda some: placement.of_users(0, range(len(some)), list(map(str, some.tolist())))


USES: dict[str, Callable[[], Callable[[Ints], object]]] = {
    "instruments of quotes": lambda: BarTable(60, 60.0).number,
    "items of counts": lambda: CountTable(1).numbers,
    "partitions of instruments": lambda: ItemPartitions(8).of,
    "partitions of users": partitions_of_users,
}


def cpu_s(use: Callable[[], Callable[[Ints], object]], some: Ints) -> float:
    """Return how long it takes to add ids and to look them up again, at the best of three times."""
    times_s = list[float]()
    for _ in range(3):
        rows_of, started_s = use(), time.thread_time()
        for first in 2 * list(range(0, len(some), A_BATCH)):
            rows_of(some[first : first + A_BATCH])
        times_s.append(time.thread_time() - started_s)
    return min(times_s)


@pytest.mark.parametrize("chosen", CHOSEN)
def test_chosen_ids_take_no_longer_than_random_ones(chosen: str) -> None:
    some = CHOSEN[chosen]()
    random = np.random.default_rng(1).integers(1 << 61, INT64.max, len(some))
    for name, use in USES.items():
        assert cpu_s(use, some) < 5 * cpu_s(use, random), name


def test_no_batch_waits_for_the_table_to_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed, first_slot = list[int](), ids._first_slot

    def counted(some: Ints, slots: npt.NDArray[np.int32]) -> Ints:
        hashed.append(len(some))
        return first_slot(some, slots)

    monkeypatch.setattr(ids, "_first_slot", counted)
    index, n = IdIndex(), 1_000
    for first in range(1 << 40, (1 << 40) + 100 * n, n):
        hashed.clear()
        index.add(np.arange(first, first + n))
        assert sum(hashed) <= 3 * n
