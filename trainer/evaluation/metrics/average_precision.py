"""MAP: the precision at each hit, averaged."""

import numpy as np

from contracts.messages import Floats
from trainer.evaluation.judged import Judged


def average_precision(judged: Judged) -> Floats:
    """Return (m,) the average precision at n of each list, 0 to 1; its mean is MAP.

    `AP = sum over hits of (hits up to its rank / its rank) / relevant`. A user with more than n
    relevant items cannot reach 1.

    Source: Buckley and Voorhees, "Evaluating evaluation measure stability", SIGIR 2000; `map_cut`
    of trec_eval.
    """
    ranks = np.arange(1, judged.n + 1)
    precision = np.cumsum(judged.hits, axis=1) / ranks
    return np.asarray((precision * judged.hits).sum(axis=1) / judged.relevant)
