"""Decisions between candidates, generations and variants: leads beyond chance. Pure.

An interval says how much a mean would vary with other users of the same kind. Two candidates are
asked about the same users, so their lead is paired by user; two variants have users of their own.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Final

import numpy as np

from contracts.generations import Comparison, Lead
from contracts.messages import Floats
from trainer.judging.lists import Judged
from trainer.judging.measures import point_values, values_of

CONFIDENCE: Final = 0.95
Z: Final = 1.96
"""Standard errors to either side of a mean in a 95 % interval."""
SURE: Final = 2.58
"""How many standard errors a lead must have: 99 %, as it is that of the best of many candidates."""
REPLICATES: Final = 1_000

Interval = tuple[float, float]


def error_of(of_users: Floats, z: float = Z) -> float:
    """Return half of the interval of the mean over users, (n_users,); NaN of a single one.

    Args:
        of_users: the figure of each.
        z: how many standard errors that is; by default those of 95 %.

    >>> round(error_of(np.array([0.0, 1.0] * 50)), 3)
    0.098
    """
    if len(of_users) < 2:
        return float("nan")
    return z * float(of_users.std(ddof=1)) / sqrt(len(of_users))


def is_ahead(ours: Floats, theirs: Floats) -> bool:
    """Return whether one candidate predicts better than another one, (n_users,) each, for sure."""
    lead = ours - theirs
    return float(lead.mean()) > error_of(lead, SURE)


def lead_of(ours: Floats, served: Floats) -> Lead:
    """Return how much better one is than what is served, (n_users,) each, paired by user.

    That two models are good for the same users does not count.
    """
    lead = ours - served
    figures = float(served.mean()), float(lead.mean()), error_of(lead)
    return Lead(*(round(figure, 6) for figure in figures))


def compare(variant: Floats, default: Floats) -> Comparison | None:
    """Return how the figures of a variant's users compare; None of fewer than two users.

    The interval of the difference of their means is Welch's: users are drawn independently, so
    those of two variants are independent samples.

    Source: Welch, "The generalization of `Student's' problem when several different population
    variances are involved", Biometrika 34, 1947.
    """
    from scipy.stats import ttest_ind  # takes a second, and few runs compare

    if min(len(variant), len(default)) < 2:
        return None
    mean, mean_default = float(variant.mean()), float(default.mean())
    low = high = mean - mean_default
    if variant.std() or default.std():
        test = ttest_ind(variant, default, equal_var=False)
        low, high = map(float, test.confidence_interval(CONFIDENCE))
    figures = (round(figure, 6) for figure in (mean, mean_default, low, high))
    return Comparison(len(variant), len(default), *figures)


def not_chosen_on(figures: Floats) -> Floats:
    """Return (n_users,) each user's nDCG of the candidate that is best for the other half of them.

    The best of many candidates owes a part of its lead to the users that it was chosen on, so their
    own figure is too high.

    Args:
        figures: (candidates, n_users) the nDCG of each.

    Source: Cawley and Talbot, "On over-fitting in model selection and subsequent selection bias in
    performance evaluation", JMLR 11, 2010; here with two folds of users.

    >>> lucky, steady = np.array([1.0, 0, 1, 0]), np.array([0.4, 0.4, 0.4, 0.4])
    >>> not_chosen_on(np.stack([lucky, steady])).tolist()
    [0.4, 0.0, 0.4, 0.0]
    """
    is_even = np.arange(figures.shape[1]) % 2 == 0
    for_even, for_odd = (figures[:, half].mean(axis=1).argmax() for half in (~is_even, is_even))
    found: Floats = np.where(is_even, figures[for_even], figures[for_odd])
    return found


def intervals(of_lists: Mapping[str, Floats], judged: Judged, seed: int) -> dict[str, Interval]:
    """Return the 95 % interval of each measure, from 1,000 draws of m users with replacement.

    The interval reaches from the value as far as the 2.5 % and the 97.5 % quantile of the draws
    are from their mean. For a mean over users that is the percentile interval. Coverage and
    personalization of a draw are lower than of all users, as some are in it twice and others not
    at all: their spread counts here, and this bias does not.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    random = np.random.default_rng(seed)
    m = len(judged.items)
    value = point_values(of_lists, judged)
    draws = [
        values_of(of_lists, judged, random.multinomial(m, np.full(m, 1 / m)))
        for _ in range(REPLICATES)
    ]
    return {name: _interval(value[name], np.array([d[name] for d in draws])) for name in value}


def _interval(value: float, draws: Floats) -> Interval:
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(draws):
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) - draws.mean() + value
    return float(low), float(high)
