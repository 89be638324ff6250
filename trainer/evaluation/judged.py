"""Lists and the held-out items that they hit: the input of every measure. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints
from trainer.counts.matrices import Matrix, entry_rows
from trainer.evaluation.holdout import Holdout
from trainer.evaluation.recommending import NONE, Recommended


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The lists of m users, each with something to be found."""

    items: Ints
    """(m, n) as in `Recommended`"""
    hits: npt.NDArray[np.bool_]
    """(m, n) which of them were to be found"""
    relevant: Ints
    """(m,) how many items were to be found, 1 or more"""
    train: Matrix
    """(n_users, n_items) what the model learned from, of all users"""

    @property
    def n(self) -> int:
        """The length of a full list."""
        return int(self.items.shape[1])

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """(m, n) where there is an item."""
        return np.not_equal(self.items, NONE)


def judge(holdout: Holdout, recommended: Recommended) -> Judged:
    """Return which of the recommended items were to be found."""
    test = holdout.test[recommended.users]
    n_items = test.shape[1]
    rows = entry_rows(test.indptr)
    places = np.arange(len(recommended.users))[:, np.newaxis] * n_items + recommended.items
    found = np.isin(places, rows * n_items + test.indices)
    return Judged(
        items=recommended.items,
        hits=found & np.not_equal(recommended.items, NONE),
        relevant=np.diff(test.indptr).astype(np.int64),
        train=holdout.train,
    )
