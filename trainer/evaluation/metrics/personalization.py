"""Personalization: how different two users' lists are."""

from contracts.messages import Floats


def personalization(recommended: Floats, n: int, users: int) -> float:
    """Return 1 - the mean overlap of two users' lists, 0 to 1; NaN of a single user.

    The overlap of two lists is the number of items in both, divided by n. Item i, in n_i lists, is
    in both lists of n_i (n_i - 1) ordered pairs of users, so the mean over all U (U - 1) of them is
    `sum_i n_i (n_i - 1) / (n U (U - 1))`, without comparing any two lists.

    Args:
        recommended: (n_items,) n_i.
        n: length of a full list.
        users: U.

    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
    PNAS 107(10), 2010 (mean Hamming distance).

    >>> import numpy as np
    >>> personalization(np.array([2.0, 1.0, 1.0]), n=2, users=2)
    0.5
    """
    if users < 2:
        return float("nan")
    both = float((recommended * (recommended - 1)).sum())
    return 1 - both / (n * users * (users - 1))
