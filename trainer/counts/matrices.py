"""The matrices that models are made from, the ids that rows and columns stand for, and their cells.

Ids and matrix indices are different things: an index is a place in `items` or `users`. A cell is a
number, row after row, by which entries of two matrices are compared. Pure.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from contracts.log_position import LogPosition
from contracts.messages import Floats, Ints

Matrix = csr_array[np.float64, tuple[int, int]]
"""CSR of float64, columns ascending within a row, no stored zeros."""
Indices = npt.NDArray[np.integer]
"""Rows or columns of a matrix."""
_BITS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Gram:
    """Co-occurrences of items: G = R^T R of the user-item affinities R."""

    items: Ints
    """(n_items,) item ids, ascending"""
    counts: Matrix
    """(n_items, n_items) G_ij = sum over users of r_ui x r_uj; the diagonal is in it"""
    below_zero: float = 0
    """sum, without their sign, of stored counts below zero, which `counts` has not"""
    corrupt: list[str] = field(default_factory=list)
    """`key: problem` of the first rows that were left out, with their columns"""
    n_corrupt: int = 0
    """how many were"""


@dataclass(frozen=True, slots=True, eq=False)
class UserItems:
    """What the most recently active users have."""

    users: list[str]
    """n_users user ids"""
    offsets: list[LogPosition]
    """n_users positions of the last event in each history"""
    items: Ints
    """(n_items,) item ids, ascending; not those of a `Gram`"""
    affinities: Matrix
    """(n_users, n_items) r_ui"""
    unscaled: Floats = field(default_factory=lambda: np.empty(0))
    """(entries,) r_ui without the user's scale in it, in the order of `affinities.data`; that very
    array if no user has a scale"""
    ts_ms: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """(entries,) last event times, epoch ms, in the order of `affinities.data`"""
    first_ms: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """(entries,) first event times, in the same order"""
    corrupt: list[str] = field(default_factory=list)
    """`key: problem` of the first histories that were left out"""
    n_corrupt: int = 0
    """how many were"""


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


def csr(data: Floats, columns: Indices, lengths: Ints, n_columns: int) -> Matrix:
    """Return the CSR matrix of values above zero that are already in order, without copying them.

    The columns are copied only where there are more entries than their type can count.

    Args:
        data: (entries,) values above zero, row by row.
        columns: (entries,) column index of each, ascending within a row.
        lengths: (n_rows,) entries of each row.
        n_columns: of the result.
    """
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    if indptr[-1] <= np.iinfo(columns.dtype).max:
        indptr = indptr.astype(columns.dtype)  # with another type, SciPy would copy the columns
    return csr_array((data, columns, indptr), shape=(len(lengths), n_columns))


def mirrored(half: Matrix, share: float = 1) -> Matrix:
    """Return `half` with a share of each pair in the other row, too; the diagonal counts once.

    With the whole of it, that is the symmetric matrix of which `half` has each pair once.

    >>> mirrored(csr_array([[2.0, 0, 5], [3, 1, 0], [0, 0, 0]])).toarray().tolist()
    [[2.0, 3.0, 5.0], [3.0, 1.0, 0.0], [5.0, 0.0, 0.0]]
    """
    others = csr_array(half.T)
    if share != 1:
        others.data *= share
    # With each pair once, a sum has one entry above zero, so nothing is rounded.
    others.data[others.indices == entry_rows(others.indptr)] = 0
    whole: Matrix = half + others
    return whole


def entry_rows(indptr: Indices, rows: Ints | None = None) -> Ints:
    """Return (entries,) the row of each entry; (n_rows,) `rows` says which each is, if not all.

    >>> entry_rows(np.array([0, 2, 2, 3])).tolist()
    [0, 0, 2]
    """
    numbers = np.arange(len(indptr) - 1, dtype=np.int64) if rows is None else rows
    return np.repeat(numbers, np.diff(indptr))


def ranges(starts: Indices, lengths: Indices) -> Ints:
    """Return the numbers of several ranges, one after the other.

    >>> ranges(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    ends = np.cumsum(lengths)
    begun = np.repeat(starts - (ends - lengths), lengths)
    found: Ints = np.arange(len(begun), dtype=np.int64) + begun
    return found


def entries_where(some: Matrix, kept: npt.NDArray[np.bool_], data: Floats | None = None) -> Matrix:
    """Return the entries that `kept`, (entries,), is true for, in the same rows and columns.

    Args:
        some: whose entries they are.
        kept: (entries,) aligned with `some.data`.
        data: (entries,) values in the place of those that are there.
    """
    indptr = np.concatenate([[0], np.cumsum(kept)])[some.indptr]
    values = some.data if data is None else data
    return csr_array((values[kept], some.indices[kept], indptr), some.shape)


def in_order(rows: Ints, columns: Indices) -> Ints:
    """Return the places of entries by row, then column; the last one where both are the same.

    >>> in_order(np.array([1, 0, 0, 1]), np.array([5, 7, 2, 5])).tolist()
    [2, 1, 3]
    """
    n, is_last = len(rows), np.ones(len(rows), np.bool_)
    column_bits, place_bits = int(columns.max(initial=0)).bit_length(), n.bit_length()
    if int(rows.max(initial=0)).bit_length() + column_bits + place_bits < _BITS:
        # One number for all three: these are sorted ten times as fast as places by two keys.
        keys = (rows << column_bits | columns) << place_bits | np.arange(n)
        keys.sort()
        places, cells = keys & ((1 << place_bits) - 1), keys >> place_bits
        is_last[:-1] = cells[1:] != cells[:-1]
    else:
        places = np.lexsort((columns, rows))
        row, column = rows[places], columns[places]
        is_last[:-1] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
    distinct: Ints = places[is_last]
    return distinct


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
