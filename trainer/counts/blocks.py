"""Splits long work into blocks of bounded size."""

from itertools import pairwise

import numpy as np

from contracts.messages import Ints


def blocks(sizes: Ints, budget: int) -> list[tuple[int, int]]:
    """Return consecutive `(start, stop)`, stop exclusive, that cover all rows in order.

    Args:
        sizes: (n_rows,) what each row costs.
        budget: what a block's rows cost at most together, unless it is a single row.

    >>> blocks(np.array([2, 2, 9, 1]), 4)
    [(0, 2), (2, 3), (3, 4)]
    """
    ends = np.cumsum(sizes)
    cuts = [0]
    while cuts[-1] < len(sizes):
        start = cuts[-1]
        before = int(ends[start - 1]) if start else 0
        fits = int(np.searchsorted(ends, before + budget, side="right"))
        cuts.append(max(fits, start + 1))
    return list(pairwise(cuts))
