"""What a user's neighbors have and the user has not, how much speaks for it, and why."""

from typing import Final

import numpy as np
from scipy.sparse import csr_array, diags_array

from contracts.messages import Floats, Ints
from trainer.counts.cells import cells, cells_of, found_in
from trainer.counts.matrices import Matrix, entries_where, entry_rows
from trainer.models.ranking import Ranking, rounded, top_n

REASONS: Final = 3
"""How many of the user's own items a recommendation names in `because`, at most."""


def candidates(weights: Matrix, rows: Matrix, own: Matrix) -> tuple[Matrix, Floats]:
    """Return the score of each neighbors' item that is not the user's own, and its support.

    Args:
        weights: (n, n_users) w_uv of each user's neighbors.
        rows: (n_users, n_items) X.
        own: (n, n_items) the users' own rows of X.
    """
    total: Floats = np.asarray(weights.sum(axis=1), np.float64)
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    scores = csr_array(diags_array(scale) @ weights @ rows)
    support = csr_array(_ones(weights) @ _ones(rows))
    scores.sort_indices()
    support.sort_indices()  # the two have the same entries: no term is below zero

    data = rounded(scores.data)
    new = data > 0
    new[found_in(cells_of(own), cells_of(scores), own.shape)[0]] = False
    return entries_where(scores, new, data), support.data[new]


def because(ranking: Ranking, weights: Matrix, rows: Matrix, own: Matrix) -> Ints:
    """Return (entries, REASONS) own items j by x_uj x sum over neighbors v of x_vj x x_vi.

    Args:
        ranking: what is recommended to n users.
        weights: (n, n_users) whose entries are their neighbors.
        rows: (n_users, n_items) X.
        own: (n, n_items) the users' own rows of X.
    """
    because = np.full((len(ranking.columns), REASONS), -1, np.int64)
    near = rows[weights.indices]  # the neighbors of the first user, of the second one, ...
    of_user = entry_rows(weights.indptr)
    in_near = cells(np.repeat(of_user, np.diff(near.indptr)), near.indices, own.shape[1])

    entries = entry_rows(ranking.indptr)
    of_entries = cells(entries, ranking.columns, own.shape[1])
    ascending = np.argsort(of_entries)
    found, place = found_in(of_entries[ascending], in_near, own.shape)
    theirs = _part(near, found, ascending[place], near.data[found], len(entries))
    found, place = found_in(cells_of(own), in_near, own.shape)
    shared = _part(near, found, place, near.data[found] * own.data[place], own.nnz)

    terms: Matrix = csr_array(theirs.T @ shared)
    terms.data = rounded(terms.data)
    terms.eliminate_zeros()
    terms.sort_indices()
    best = top_n(terms, np.zeros(terms.nnz), REASONS)
    of_best = entry_rows(best.indptr)
    rank = np.arange(len(of_best)) - best.indptr[of_best]
    because[of_best, rank] = own.indices[best.columns]
    return because


def _ones(some: Matrix) -> Matrix:
    """Return the same entries, each 1."""
    return csr_array((np.ones_like(some.data), some.indices, some.indptr), shape=some.shape)


def _part(near: Matrix, entries: Ints, columns: Ints, data: Floats, n_columns: int) -> Matrix:
    """Return (neighbors, n_columns) some entries of theirs, in other columns."""
    indptr = np.searchsorted(entries, near.indptr)
    return csr_array((data, columns, indptr), shape=(near.shape[0], n_columns))
