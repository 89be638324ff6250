"""The two matrices that models are made from, with the ids that rows and columns stand for.

Ids and matrix indices are different things: an index is a place in `items` or `users`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints

Matrix = csr_array[np.float64, tuple[int, int]]
"""CSR of float64, columns ascending within a row, no stored zeros."""
Indices = npt.NDArray[np.integer]
"""Rows or columns of a matrix."""


@dataclass(frozen=True, slots=True, eq=False)
class Gram:
    """How often items are had together: G = R^T R of the user-item affinities R."""

    items: Ints
    """(n_items,) item ids, ascending"""
    counts: Matrix
    """(n_items, n_items) G_ij = sum over users of r_ui x r_uj; the diagonal is in it"""
    below_zero: float = 0
    """sum, without their sign, of stored counts below zero, which `counts` has not"""


@dataclass(frozen=True, slots=True, eq=False)
class UserItems:
    """What the most recently active users have."""

    users: list[str]
    """n_users user ids"""
    offsets: list[tuple[int, int]]
    """n_users `[incarnation, offset]` of the last event in each history"""
    items: Ints
    """(n_items,) item ids, ascending; not those of a `Gram`"""
    affinities: Matrix
    """(n_users, n_items) r_ui"""


def matrix(data: Floats, columns: Indices, lengths: Ints, n_columns: int) -> Matrix:
    """Return the CSR matrix whose rows follow each other in `data` and `columns`.

    What is not above zero is left out: no affinity and no count is.

    Args:
        data: (entries,) values, row by row.
        columns: (entries,) column index of each, distinct within a row, in any order.
        lengths: (n_rows,) entries of each row.
        n_columns: of the result.
    """
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    values: Floats = np.maximum(data, 0)
    made: Matrix = csr_array((values, columns, indptr), shape=(len(lengths), n_columns))
    made.eliminate_zeros()
    made.sort_indices()
    return made
