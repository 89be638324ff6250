"""Catalog coverage: how much of what could be recommended was."""

import numpy as np

from contracts.messages import Floats


def coverage(recommended: Floats) -> float:
    """Return recommended items / trained items, 0 to 1.

    Args:
        recommended: (n_items,) in how many lists each trained item stands.

    Source: Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM TOIS
    22(1), 2004, section 4.2 (catalog coverage).

    >>> coverage(np.array([3.0, 0.0, 1.0, 0.0]))
    0.5
    """
    return float(np.count_nonzero(recommended) / len(recommended))
