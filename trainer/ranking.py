"""From scores to ranked lists: the best n of each row, the same ones on every run.

Pure; what the scores mean is the models' business.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Floats, Ints
from trainer.matrices import Matrix

SCORE_DECIMALS: Final = 12
"""Scores that differ by less are equal but for floating noise; support then decides their order."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Ranked lists of some rows, one after the other, each best first."""

    indptr: Ints
    """(n_rows + 1,) row r's entries are `indptr[r]:indptr[r + 1]`"""
    columns: Ints
    """(entries,) matrix index of the ranked item"""
    scores: Floats
    """(entries,)"""
    support: Floats
    """(entries,) what the score rests on; more of it goes first among equal scores"""
    because: Ints
    """(entries, reasons) columns that speak for the item, strongest first; -1 for none"""

    def __len__(self) -> int:
        return len(self.indptr) - 1


def rounded(scores: Floats) -> Floats:
    """Return similarities, which are at most about 1, without their floating noise.

    An entry of a list is shorter so, too: 55 bytes of JSON for 59.
    """
    return np.round(scores, SCORE_DECIMALS)


def top_n(scores: Matrix, support: Floats, n: int) -> Ranking:
    """Return the n best columns of each row; a row with fewer entries has a shorter list.

    Equal scores are ordered by higher support, then by smaller column, so by smaller item id.

    Args:
        scores: CSR (n_rows, n_items), columns ascending within a row; only stored entries compete.
        support: (entries,) beside `scores.data`.
        n: length of a full list.
    """
    lengths = np.diff(scores.indptr)
    kept = _reaches_nth(scores, lengths, n)
    rows = np.repeat(np.arange(len(lengths)), lengths)[kept]
    data, support, columns = scores.data[kept], support[kept], scores.indices[kept]

    order = np.lexsort((-support, -data, rows))  # stable, so columns stay ascending
    starts = np.searchsorted(rows, np.arange(len(lengths)))
    order = order[np.arange(len(rows)) - starts[rows] < n]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(lengths, n))])
    return Ranking(
        indptr=indptr.astype(np.int64),
        columns=columns[order].astype(np.int64),
        scores=data[order],
        support=support[order],
        because=np.empty((len(order), 0), np.int64),
    )


def _reaches_nth(scores: Matrix, lengths: Ints, n: int) -> npt.NDArray[np.bool_]:
    """Return which entries are at least their row's n-th best: that is quicker than to sort all."""
    kept = np.ones(len(scores.data), np.bool_)
    for row in np.flatnonzero(lengths > n):
        entries = slice(scores.indptr[row], scores.indptr[row + 1])
        of_row = scores.data[entries]
        kept[entries] = of_row >= np.partition(of_row, len(of_row) - n)[len(of_row) - n]
    return kept
