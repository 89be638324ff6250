"""Runs of equal values in sorted arrays."""

import numpy as np

from contracts.messages import Ints


def starts_of_runs(values: Ints) -> Ints:
    """Return where each run of equal values begins, of values (n,) that rise.

    >>> starts_of_runs(np.array([3, 3, 5, 7, 7]))
    array([0, 2, 3])
    """
    is_first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)
