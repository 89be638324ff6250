"""Recall: how much of what was to be found was found."""

import numpy as np

from contracts.messages import Floats
from trainer.evaluation.judged import Judged


def recall(judged: Judged) -> Floats:
    """Return (m,) `hits / relevant` of each list, 0 to 1.

    Source: Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM TOIS
    22(1), 2004, section 4.1; `recall` of trec_eval.
    """
    return np.asarray(judged.hits.sum(axis=1) / judged.relevant)
