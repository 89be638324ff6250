"""Places in a matrix of users by items as numbers, which are looked up without sorting them."""

import numpy as np

from contracts.messages import Ints
from trainer.counts.matrices import Indices, Matrix


def cells(rows: Indices, columns: Indices, n_columns: int) -> Ints:
    """Return (entries,) row x n_columns + column."""
    return rows.astype(np.int64) * n_columns + columns


def cells_of(some: Matrix) -> Ints:
    """Return (entries,) the cell of each entry, ascending."""
    rows = np.repeat(np.arange(some.shape[0]), np.diff(some.indptr))
    return cells(rows, some.indices, some.shape[1])


def found_in(among: Ints, wanted: Ints, shape: tuple[int, int]) -> tuple[Ints, Ints]:
    """Return which of `wanted` are among some cells, and where there.

    Args:
        among: ascending cells of a matrix of that shape.
        wanted: cells of it, in any order.
        shape: a mark for each of its cells is made.

    >>> found_in(np.array([2, 5]), np.array([5, 0, 2, 5]), (2, 3))
    (array([0, 2, 3]), array([1, 0, 1]))
    """
    marks = np.zeros(shape[0] * shape[1], np.bool_)
    marks[among] = True
    found = np.flatnonzero(marks[wanted])
    return found, np.searchsorted(among, wanted[found])
