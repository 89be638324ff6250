"""Cells of a sparse matrix as numbers, row after row, to compare two matrices by. Pure."""

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints
from trainer.counts.matrices import Indices, Matrix, entry_rows


def cells(rows: Indices, columns: Indices, n_columns: int) -> Ints:
    """Return (entries,) row x n_columns + column."""
    found = np.multiply(rows, n_columns, dtype=np.int64)
    found += columns
    return found


def cells_of(some: Matrix) -> Ints:
    """Return (entries,) the cell of each entry, ascending."""
    return cells(entry_rows(some.indptr), some.indices, some.shape[1])


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


def places_in(among: Ints, wanted: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return where each of `wanted` stands among some cells, and whether it does.

    Args:
        among: ascending cells.
        wanted: cells of a matrix of the same shape, in any order.

    >>> places_in(np.array([2, 5]), np.array([5, 0]))
    (array([1, 0]), array([ True, False]))
    """
    if not len(among):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    places = np.minimum(np.searchsorted(among, wanted), len(among) - 1)
    return places, among[places] == wanted
