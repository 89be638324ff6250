"""What exploration says about a variant's ranking: an off-policy estimate of clicks. Pure.

Each impression of an answer that may have explored has a known probability of having been shown at
its slot (`contracts.exploration`). An impression `i` counts with the weight `w_i`, the probability
of showing it there under the policy in question over that probability:

- **ranked**: nothing is explored. `w = 1 / (1 - e)` if the slot has its own item, else 0, with `e`
  the probability that the slot is explored.
- **explored**: each slot that may be explored is. `w = 1 / e` if the item was drawn, else 0.

The rate is `sum w y / sum w`, with `y` 1 if it was clicked: the self-normalized estimator. Its
variance is that of a ratio of sums over users, as the clicks of one user depend on each other; the
interval is Wilson's for that variance, as rates are small and clicks few. The effective sample size
is `(sum w)^2 / sum w^2`.

It is assumed that whether an item is clicked depends on the item, its slot and the user, not on the
other items of the answer, and that clients report explored items as they report others.

Sources: Horvitz and Thompson, "A generalization of sampling without replacement from a finite
universe", JASA 47, 1952; Swaminathan and Joachims, "The self-normalized estimator for
counterfactual learning", NeurIPS 2015; Li, Chu, Langford and Wang, "Unbiased offline evaluation of
contextual-bandit-based news article recommendation algorithms", WSDM 2011; the interval: Dean and
Pagano, "Evaluating confidence interval methods for binomial proportions in clustered surveys",
Journal of Survey Statistics and Methodology 3, 2015.
"""

from math import sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.figures import Exploration, Mean, Rate
from contracts.messages import Floats, Ints

Flags = npt.NDArray[np.bool_]

_Z: Final = NormalDist().inv_cdf(0.975)
"""Of a 95 % interval."""


class Seen(NamedTuple):
    """Impressions of answers that may have explored."""

    user: Ints
    """(n,) numbers of users, from 0"""
    clicked: Flags
    """(n,)"""
    chance: Floats
    """(n,) the probability that its slot was explored"""
    explored: Flags
    """(n,) whether it was"""


def estimated(seen: Seen, at: str) -> Exploration | None:
    """Return what follows from impressions; None if only one kind of items was shown."""
    if not seen.explored.any() or seen.explored.all():
        return None
    own = ~seen.explored
    ranked = np.where(own, 1 / (1 - seen.chance), 0)
    explored = np.divide(1, seen.chance, out=np.zeros(len(own)), where=seen.explored)
    replaceable = np.where(seen.chance > 0, ranked, 0)
    return Exploration(
        at,
        int(seen.user.max()) + 1,
        _rate(seen, np.ones(len(own))),
        _rate(seen, ranked),
        _rate(seen, explored),
        _lead(seen, replaceable, explored),
    )


def _rate(seen: Seen, weights: Floats) -> Rate:
    rate = float(np.average(seen.clicked, weights=weights))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    variance = _variance(_of_users(seen, weights, rate))
    n = min(effective, rate * (1 - rate) / variance) if variance else effective
    middle = (rate + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2))
    low, high = max(middle - half, 0), min(middle + half, 1)
    return Rate(round(rate, 6), round(low, 6), round(high, 6), round(effective, 1))


def _lead(seen: Seen, ranked: Floats, explored: Floats) -> Mean:
    """Return the difference of two rates, over the same users."""
    if not ranked.any():
        return Mean(0, 1)
    of_ranked, of_explored = (
        float(np.average(seen.clicked, weights=weights)) for weights in (ranked, explored)
    )
    by_user = _of_users(seen, ranked, of_ranked) - _of_users(seen, explored, of_explored)
    return Mean(round(of_ranked - of_explored, 6), round(_Z * sqrt(_variance(by_user)), 6))


def _of_users(seen: Seen, weights: Floats, rate: float) -> Floats:
    """Return each user's share in a rate's deviation, (n_users,), which sum up to 0."""
    deviations = np.bincount(seen.user, weights * (seen.clicked - rate))
    return np.asarray(deviations / weights.sum(), np.float64)


def _variance(of_users: Floats) -> float:
    n = len(of_users)
    return float((of_users**2).sum()) * n / (n - 1) if n > 1 else 1.0
