"""Precision: how much of a list is a hit."""

import numpy as np

from contracts.messages import Floats
from trainer.evaluation.judged import Judged


def precision(judged: Judged) -> Floats:
    """Return (m,) `hits / n` of each list, 0 to 1; a shorter list is also divided by n.

    Source: Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM TOIS
    22(1), 2004, section 4.1; `P` of trec_eval.
    """
    return np.asarray(judged.hits.sum(axis=1) / judged.n)
