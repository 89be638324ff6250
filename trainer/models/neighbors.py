"""From a block of G and a score for each of its entries to lists of neighbors. Pure."""

from typing import Final

import numpy as np
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Matrix, entries_where, entry_rows
from trainer.models.ranking import Ranking, best_entries, top_n

NEIGHBORS: Final = 200
"""Length of an item's list unless it is set: more hardly finds more."""


def best_neighbors(counts: Matrix, scores: Floats, rows: Ints, n: int) -> Ranking:
    """Return the n neighbors of some items that matter most, itself left out.

    These are the ones with the largest scores by absolute value, in descending order: an item that
    speaks against another one is as much worth knowing as one that speaks for it. Support is G_ij.

    Args:
        counts: (n_rows, n_items) some rows of G.
        scores: (entries,) aligned with `counts.data`; a 0 says nothing.
        rows: (n_rows,) whose these are.
        n: length of a full list.
    """
    pairs = (scores != 0) & (entry_rows(counts.indptr, rows) != counts.indices)
    neighbors = entries_where(counts, pairs, scores)
    support = counts.data[pairs]
    if len(neighbors.data) and neighbors.data.min() < 0:
        neighbors, support = _largest(neighbors, support, n)
    return top_n(neighbors, support, n)


def _largest(scores: Matrix, support: Floats, n: int) -> tuple[Matrix, Floats]:
    """Return the n entries of each row that are largest by absolute value, and their support.

    Of entries of one size, those with more support are kept, then those of smaller columns.
    """
    sizes: Matrix = csr_array((np.abs(scores.data), scores.indices, scores.indptr), scores.shape)
    _, best = best_entries(sizes, support, n)
    kept = np.zeros(scores.nnz, np.bool_)
    kept[best] = True
    return entries_where(scores, kept), support[kept]
