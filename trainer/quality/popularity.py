"""How much popularity has shifted since the served generation. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.messages import Floats
from trainer.counts.matrices import Gram

BINS: Final = 10
"""As usual for this index: deciles of the reference."""
LEAST_SHARE: Final = 1e-4
"""Of an empty bin, whose logarithm would be infinite."""


@dataclass(frozen=True, slots=True)
class Popularity:
    """What was popular in a generation."""

    items: int
    """how many there were"""
    total: float
    """sum over all items of G_ii"""
    top: Mapping[int, float]
    """G_ii of the most popular items, most popular first"""


def popularity_shift(before: Popularity, now: Gram) -> float:
    """Return the population stability index of the items' popularity, 0 if nothing has moved.

    `PSI = sum over bins of (now - before) x ln(now / before)`, of each bin's share of all counts
    G_ii. Each bin holds items that had a tenth of the counts before; the last one whatever else
    there is, new items included. It is the Jeffreys divergence of the two distributions.

    Sources: Siddiqi, "Credit Risk Scorecards", 2006 (0.1 and 0.25 as bounds); Yurdakul and Naranjo,
    "Statistical properties of the population stability index", Journal of Risk Model Validation
    14(4), 2020.
    """
    own = now.counts.diagonal()
    if not before.total or not own.sum():
        return 0.0
    then = np.array(list(before.top.values())) / before.total
    bins = np.minimum((np.cumsum(then) - then) * BINS, BINS - 1).astype(np.int64)
    found = _own_counts(now, own, list(before.top)) / own.sum()
    return _divergence(_shares(bins, then), _shares(bins, found))


def _own_counts(gram: Gram, own: Floats, items: list[int]) -> Floats:
    """Return G_ii of each of some items, 0 where there is none."""
    places = {item: place for place, item in enumerate(gram.items.tolist())}
    return np.array([own[places[item]] if item in places else 0.0 for item in items])


def _shares(bins: "np.typing.NDArray[np.int64]", shares: Floats) -> Floats:
    """Return (BINS + 1,) the share of each bin, and that of all that is in none."""
    binned = np.bincount(bins, shares, BINS)
    return np.append(binned, max(0.0, 1 - shares.sum()))


def _divergence(before: Floats, now: Floats) -> float:
    filled = (before > 0) | (now > 0)
    p, q = (np.maximum(shares[filled], LEAST_SHARE) for shares in (before, now))
    return float(np.sum((q - p) * np.log(q / p)))
