"""What a user's neighbors have and the user has not, and how much speaks for it."""

import numpy as np
from scipy.sparse import csr_array, diags_array

from contracts.messages import Floats
from trainer.counts.cells import cells_of, found_in
from trainer.counts.matrices import Matrix, entries_where
from trainer.models.ranking import rounded


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


def _ones(some: Matrix) -> Matrix:
    """Return the same entries, each 1."""
    return csr_array((np.ones_like(some.data), some.indices, some.indptr), shape=some.shape)
