"""Figures about counts: what exceeds their bound, and how far popularity has shifted.

Pure. In the Gram matrix of any affinities G_ij is at most sqrt(G_ii x G_jj) (Cauchy-Schwarz), so
counts that are greater were not counted right, or were read while they changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Floats
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Gram, Matrix

ENTRIES_PER_BLOCK: Final = 1_000_000
"""About 30 MB while a block is processed."""
ROUNDING: Final = 1e-9
"""Tolerance for equal weighted counts that were summed in different orders."""
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


def share_beyond(gram: Gram) -> Floats:
    """Return (n_items,) the share of each row's counts that exceeds the bound by Cauchy-Schwarz."""
    counts = np.asarray(gram.counts.sum(axis=1), np.float64)
    return np.divide(_beyond(gram.counts), counts, out=np.zeros_like(counts), where=counts > 0)


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


def _beyond(counts: Matrix) -> Floats:
    """Return for each row the sum of what exceeds the bound by Cauchy-Schwarz."""
    norms = np.sqrt(counts.diagonal())
    lengths = np.diff(counts.indptr).astype(np.int64)
    found = np.zeros(len(norms))
    for start, stop in blocks(lengths, ENTRIES_PER_BLOCK):
        entries = slice(counts.indptr[start], counts.indptr[stop])
        rows = np.repeat(np.arange(start, stop), lengths[start:stop])
        data = counts.data[entries]
        excess = data - norms[rows] * norms[counts.indices[entries]]
        excess[excess <= ROUNDING * data] = 0
        found[start:stop] = np.bincount(rows - start, excess, stop - start)
    return found


def _own_counts(gram: Gram, own: Floats, items: list[int]) -> Floats:
    """Return G_ii of each of some items, 0 where there is none."""
    places = {item: place for place, item in enumerate(gram.items.tolist())}
    return np.array([own[places[item]] if item in places else 0.0 for item in items])


def _shares(bins: npt.NDArray[np.int64], shares: Floats) -> Floats:
    """Return (BINS + 1,) the share of each bin, and that of all that is in none."""
    binned = np.bincount(bins, shares, BINS)
    return np.append(binned, max(0.0, 1 - shares.sum()))


def _divergence(before: Floats, now: Floats) -> float:
    filled = (before > 0) | (now > 0)
    p, q = (np.maximum(shares[filled], LEAST_SHARE) for shares in (before, now))
    return float(np.sum((q - p) * np.log(q / p)))
