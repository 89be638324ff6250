"""Confidence intervals: how much a measure would vary with other users of the same kind. Pure."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from contracts.messages import Floats, Ints
from trainer.judging.metrics import Judged, coverage, personalization

REPLICATES: Final = 1_000
CONFIDENCE: Final = 0.95

Interval = tuple[float, float]


def point_values(of_lists: Mapping[str, Floats], judged: Judged) -> dict[str, float]:
    """Return each measure's value over all lists; NaN where it has none."""
    return _values(of_lists, judged, np.ones(len(judged.items), np.int64))


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
        _values(of_lists, judged, random.multinomial(m, np.full(m, 1 / m)))
        for _ in range(REPLICATES)
    ]
    return {name: _interval(value[name], np.array([d[name] for d in draws])) for name in value}


def lead(ours: Floats, theirs: Floats, seed: int) -> tuple[float, Interval]:
    """Return by how much the mean of a measure is greater, and the 95 % interval of that.

    The draws are of users, and each user's two lists are compared: that two models are good for the
    same users does not count, and the interval is narrower than those of the two means.

    Args:
        ours: (m,) value of each user's list.
        theirs: (m,) of another list of the same users.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    more = ours - theirs
    m = len(more)
    draws = [random.multinomial(m, np.full(m, 1 / m)) @ more / m for _ in range(REPLICATES)]
    return float(more.mean()), _interval(float(more.mean()), np.array(draws))


def _interval(value: float, draws: Floats) -> Interval:
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(draws):
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) - draws.mean() + value
    return float(low), float(high)


def _values(of_lists: Mapping[str, Floats], judged: Judged, times: Ints) -> dict[str, float]:
    """Return each measure's value where list u counts `times[u]` times."""
    filled = judged.filled
    counts = np.bincount(
        judged.items[filled],
        weights=np.broadcast_to(times[:, np.newaxis], filled.shape)[filled],
        minlength=judged.train.shape[1],
    ).astype(np.float64)
    return {name: _mean(values, times) for name, values in of_lists.items()} | {
        "coverage": coverage(counts),
        "personalization": personalization(counts, judged.n, int(times.sum())),
    }


def _mean(values: Floats, times: Ints) -> float:
    known = ~np.isnan(values)
    total = times[known].sum()
    return float(values[known] @ times[known] / total) if total else float("nan")
