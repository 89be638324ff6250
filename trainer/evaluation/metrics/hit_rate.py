"""Hit rate: who got anything right."""

import numpy as np

from contracts.messages import Floats
from trainer.evaluation.judged import Judged


def hit_rate(judged: Judged) -> Floats:
    """Return (m,) 1 for each list with a hit, 0 for the others.

    Source: Deshpande and Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 22(1),
    2004, section 6.1, with any number of relevant items; `success` of trec_eval.
    """
    return np.asarray(judged.hits.any(axis=1), np.float64)
