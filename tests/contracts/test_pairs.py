"""Each pair of items stands in one row."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import MAX_INSTRUMENT_ID
from contracts.pairs import are_in_row, row_of

ids = st.integers(0, 9) | st.integers(0, MAX_INSTRUMENT_ID)


@given(st.lists(st.tuples(ids, ids)))
def test_each_pair_is_in_one_of_its_two_rows_whichever_comes_first(
    pairs: list[tuple[int, int]],
) -> None:
    i, j = np.array(pairs, np.int64).reshape(-1, 2).T
    is_of_i, is_of_j = are_in_row(i, j).tolist(), are_in_row(j, i).tolist()
    for (one, other), of_one, of_other in zip(pairs, is_of_i, is_of_j, strict=True):
        row = row_of(one, other)
        assert row == row_of(other, one)
        assert row in (one, other)
        assert (of_one, of_other) == (row == one, row == other)


def test_a_pair_of_an_even_sum_is_in_the_lesser_items_row_and_others_in_the_greater_ones() -> None:
    assert [row_of(4, j) for j in range(9)] == [0, 4, 2, 4, 4, 5, 4, 7, 4]


def test_rows_of_items_without_gaps_are_equally_long() -> None:
    lengths = Counter(row_of(i, j) for i in range(101) for j in range(i + 1))
    assert set(lengths.values()) == {51}
