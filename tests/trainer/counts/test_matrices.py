"""The matrices that models are made from."""

import numpy as np

from trainer.counts.matrices import matrix


def test_a_matrix_keeps_columns_ascending_and_nothing_below_or_at_zero() -> None:
    made = matrix(np.array([3.0, 0, -1, 2]), np.array([2, 0, 1, 0]), np.array([3, 0, 1]), 4)
    assert made.toarray().tolist() == [[0, 0, 3, 0], [0, 0, 0, 0], [2, 0, 0, 0]]
    assert made.nnz == 2
    assert made.has_canonical_format
