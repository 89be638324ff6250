"""What the item models have in common: from scored pairs to lists of neighbors. Pure."""

import numpy as np
from scipy.sparse import csr_array

from contracts.messages import Floats
from trainer.counts.matrices import Indices, Matrix
from trainer.models.ranking import Ranking, top_n


def rows_of(block: Matrix, start: int) -> Indices:
    """Return (entries,) the row of each entry of a block whose first row is `start`."""
    return np.repeat(np.arange(start, start + block.shape[0]), np.diff(block.indptr))


def best_neighbors(counts: Matrix, scores: Floats, start: int, n: int) -> Ranking:
    """Return the n best neighbors of each item of a block, itself left out; support is G_ij.

    Args:
        counts: (n_rows, n_items) the block of G that begins with row `start`.
        scores: (entries,) beside `counts.data`; only those above 0 compete.
        start: the item of the first row.
        n: length of a full list.
    """
    pairs = (scores > 0) & (rows_of(counts, start) != counts.indices)
    indptr = np.concatenate([[0], np.cumsum(pairs)])[counts.indptr]
    neighbors: Matrix = csr_array((scores[pairs], counts.indices[pairs], indptr), counts.shape)
    return top_n(neighbors, counts.data[pairs], n)
