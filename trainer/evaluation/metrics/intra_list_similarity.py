"""Intra-list similarity: how much of the same a list is. Less is more diverse."""

from typing import Final

import numpy as np
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize

from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Matrix
from trainer.evaluation.judged import Judged
from trainer.evaluation.recommending import NONE

_LISTS_PER_BLOCK: Final = 1_000


def intra_list_similarity(judged: Judged) -> Floats:
    """Return (m,) the mean cosine of two items of a list, NaN where it has less than two.

    The cosine is that of the items' columns in `judged.train`, whatever model made the list. The
    mean over the pairs of k unit vectors is `(|their sum|^2 - k) / (k (k - 1))`.

    Source: Ziegler et al., "Improving recommendation lists through topic diversification", WWW
    2005, as a mean instead of a sum, so that lists of any length compare.
    """
    units: Matrix = csr_array(normalize(judged.train, axis=0).T)
    squares = np.concatenate(
        [np.empty(0)]
        + [
            _squared_sums(units, judged.items[start:stop])
            for start, stop in blocks(np.ones(len(judged.items), np.int64), _LISTS_PER_BLOCK)
        ]
    )
    k = judged.filled.sum(axis=1)
    pairs = k * (k - 1)
    unknown = np.full(len(k), np.nan)
    mean: Floats = np.divide(squares - k, pairs, out=unknown, where=pairs > 0)
    return mean


def _squared_sums(units: Matrix, lists: Ints) -> Floats:
    """Return (n_lists,) the squared length of the sum of the unit vectors of each list's items."""
    filled = lists != NONE
    indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    members: Matrix = csr_array(
        (np.ones(indptr[-1]), lists[filled], indptr), shape=(len(lists), units.shape[0])
    )
    sums = csr_array(members @ units)
    return np.asarray((sums * sums).sum(axis=1), np.float64)
