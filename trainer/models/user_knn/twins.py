"""Users who have the same: of many, the first ones are enough as neighbors."""

from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints
from trainer.counts.matrices import Matrix

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_ODD_TOO: Final = np.uint64(0xBF58476D1CE4E5B9)
_HALF: Final = np.uint64(32)


def first_of_twins(rows: Matrix, n: int) -> Ints:
    """Return the users who have something, but only the first n of those with equal rows.

    If n is k + 1, a user with k neighbors among them has no nearer ones among the rest, nor equally
    near ones of smaller rows. Where many users have one popular item and nothing else, that is the
    difference between a few and all of them at the same distance.

    Rows are equal if sums of 64-bit hashes of their entries are (SplitMix64's finalizer).
    """
    someone = np.flatnonzero(np.diff(rows.indptr))
    if not len(someone):
        return someone
    sums = np.add.reduceat(_hashes(rows), rows.indptr[someone])
    order = np.argsort(sums, kind="stable")
    in_order = sums[order]
    rank = np.arange(len(order)) - np.searchsorted(in_order, in_order)
    first: Ints = np.sort(someone[order[rank < n]])
    return first


def _hashes(rows: Matrix) -> npt.NDArray[np.uint64]:
    """Return (entries,) a hash of each entry's item and affinity."""
    hashes = rows.indices.astype(np.uint64)
    hashes *= _ODD
    hashes ^= rows.data.view(np.uint64)
    for factor in (_ODD_TOO, _ODD):
        hashes ^= hashes >> _HALF
        hashes *= factor
    hashes ^= hashes >> _HALF
    return hashes
