"""Changes are added up correctly, whatever is merged in between."""

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.cooccurrences.sums import Unsummed

changes = st.tuples(
    st.integers(0, 2**60) | st.integers(0, 5),
    st.integers(-3, 3).map(float) | st.sampled_from([0.5, 2.0**60]),
)
parts = st.lists(st.lists(changes, max_size=8), max_size=12)


def unsummed_of(
    parts: list[list[tuple[int, float]]], rows_a_run: int, counts_at_most: int
) -> Unsummed:
    unsummed = Unsummed(rows_a_run, counts_at_most)
    for part in parts:
        unsummed.add(
            np.array([key for key, _ in part], np.int64), np.array([delta for _, delta in part])
        )
    return unsummed


@given(parts=parts, rows_a_run=st.integers(1, 10), counts_at_most=st.integers(1, 10))
def test_each_key_comes_out_once_with_its_sum_and_its_size_and_all_are_cleared(
    parts: list[list[tuple[int, float]]], rows_a_run: int, counts_at_most: int
) -> None:
    unsummed = unsummed_of(parts, rows_a_run, counts_at_most)
    sums = unsummed.take()
    assert len(unsummed.take()) == 0
    expected: dict[int, float] = defaultdict(float)
    sizes: dict[int, float] = defaultdict(float)
    for key, delta in (change for part in parts for change in part):
        expected[key] += delta
        sizes[key] += abs(delta)
    assert sums.key.tolist() == sorted(expected)
    exact = np.array([expected[key] for key in sums.key.tolist()])
    size = np.array([sizes[key] for key in sums.key.tolist()])
    assert (np.abs(sums.delta - exact) <= 2.0**-45 * size).all()
    if sums.size is None:
        assert all(delta.is_integer() for part in parts for _, delta in part)
        assert sums.delta.tolist() == exact.tolist()
    else:
        # The size of a run of whole numbers is its sum.
        assert (sums.size <= size).all()
        assert (sums.size >= np.abs(sums.delta)).all()


@given(n=st.integers(1, 60))
def test_it_is_full_once_enough_distinct_counts_wait_and_no_sooner(n: int) -> None:
    again = [[(key, 1.0) for key in range(n)] for _ in range(10)]
    assert unsummed_of(again, rows_a_run=8, counts_at_most=30).is_full == (n >= 30)
