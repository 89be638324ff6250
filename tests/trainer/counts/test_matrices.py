"""The matrices that models are made from."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.counts import matrices as module
from trainer.counts.matrices import csr, in_order, matrix

CELLS = st.lists(st.tuples(st.integers(0, 9), st.one_of(st.integers(0, 5), st.just(2**31 - 1))))


def test_a_matrix_keeps_columns_ascending_and_nothing_below_or_at_zero() -> None:
    made = matrix(np.array([3.0, 0, -1, 2]), np.array([2, 0, 1, 0]), np.array([3, 0, 1]), 4)
    assert made.toarray().tolist() == [[0, 0, 3, 0], [0, 0, 0, 0], [2, 0, 0, 0]]
    assert made.nnz == 2
    assert made.has_canonical_format


def test_values_in_order_become_a_matrix_without_a_copy() -> None:
    data, columns = np.array([3.0, 1, 2]), np.array([0, 2, 1], np.int32)
    made = csr(data, columns, np.array([2, 0, 1]), 3)
    assert made.toarray().tolist() == [[3, 0, 1], [0, 0, 0], [0, 2, 0]]
    assert made.has_canonical_format
    assert np.shares_memory(made.data, data)
    assert np.shares_memory(made.indices, columns)


def test_rows_of_more_entries_than_32_bits_count_begin_where_they_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No such matrix fits into a test: its parts are views of one number, and are looked at.
    monkeypatch.setattr(module, "csr_array", lambda parts, shape: (parts, shape))
    n_rows, length = 50_000, 44_000
    data = np.broadcast_to(np.ones(1), (n_rows * length,))
    columns = np.broadcast_to(np.zeros(1, np.int32), data.shape)
    made: Any = csr(data, columns, np.full(n_rows, length), n_rows)
    (_, _, indptr), _ = made
    assert indptr[[0, 1, -1]].tolist() == [0, length, n_rows * length]


@pytest.mark.parametrize("bits", [64, 0])
@given(CELLS)
def test_the_order_is_that_of_rows_and_columns_and_the_last_of_equals_stays(
    bits: int, cells: list[tuple[int, int]]
) -> None:
    rows, columns = np.array(cells, np.int64).reshape(-1, 2).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BITS", bits)  # one number for all three, or two keys
        order = in_order(rows, columns).tolist()
    last = {cell: place for place, cell in enumerate(cells)}
    assert order == [last[cell] for cell in sorted(last)]
