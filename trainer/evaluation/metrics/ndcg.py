"""nDCG: hits count more the higher they stand."""

import numpy as np

from contracts.messages import Floats
from trainer.evaluation.judged import Judged


def ndcg(judged: Judged) -> Floats:
    """Return (m,) the normalized discounted cumulative gain at n of each list, 0 to 1.

    `DCG = sum over hits of 1 / log2(rank + 1)`, divided by the DCG of the best possible list: hits
    at ranks 1 to min(n, relevant).

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS
    20(4), 2002, with the discount log2(rank + 1) of Burges et al., ICML 2005; `ndcg_cut` of
    trec_eval.
    """
    discounts = 1 / np.log2(np.arange(2, judged.n + 2))
    best = np.cumsum(discounts)[np.minimum(judged.relevant, judged.n) - 1]
    return np.asarray((judged.hits * discounts).sum(axis=1) / best)
