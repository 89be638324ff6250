"""Novelty: how little known the recommended items are."""

import numpy as np

from contracts.messages import Floats
from trainer.evaluation.judged import Judged


def novelty(judged: Judged) -> Floats:
    """Return (m,) the mean self-information of a list's items in bits, NaN of an empty list.

    `-log2(users who have the item / users)`: 0 for an item that everybody has, 1 for one that half
    of them have.

    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
    PNAS 107(10), 2010 (surprisal); RecTools calls it mean inverse user frequency.
    """
    n_users, n_items = judged.train.shape
    having = np.bincount(judged.train.indices, minlength=n_items)
    # Nobody had it: as surprising as an item of one user at least.
    bits = np.log2(n_users) - np.log2(np.maximum(having, 1))
    length = judged.filled.sum(axis=1)
    total = np.where(judged.filled, bits[judged.items], 0).sum(axis=1)
    mean: Floats = np.divide(total, length, out=np.full(len(length), np.nan), where=length > 0)
    return mean
