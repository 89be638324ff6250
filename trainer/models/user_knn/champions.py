"""Who stands out by an item: the users whose strongest items are a user's own.

Two users may be close by a single item that weighs much in both rows, however unlike their crowds
are. Each item has its champions: the users in whose rows it weighs most.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from contracts.messages import Ints
from trainer.models.user_knn.best import Best
from trainer.models.user_knn.single import Single, SingleRows

_STRONG: Final = 0.2
"""Affinity, of a row of length 1, from which on an item is one of the user's strong ones."""
_CHAMPIONS: Final = 500
"""Of an item, at most."""
_MOST_OF_IT: Final = 0.6
"""Share of the k-th neighbor's closeness that strong items alone must explain."""


@dataclass(frozen=True, slots=True, eq=False)
class Champions:
    """Users by their strong items."""

    strong: SingleRows
    """(n_users, n_items) strong items only"""
    champions: SingleRows
    """(n_items, n_users) the users in whose rows each weighs most"""

    @classmethod
    def of(cls, single: Single, others: Ints) -> "Champions":
        """Return the champions of all items among the users `others`."""
        rows = single.rows
        entries = np.flatnonzero(rows.data >= _STRONG)
        data, items = rows.data[entries], rows.indices[entries]
        indptr = np.searchsorted(entries, rows.indptr)
        strong = csr_array((data, items, indptr), shape=rows.shape)
        users = np.repeat(np.arange(rows.shape[0]), np.diff(indptr))
        order = np.flatnonzero(np.isin(users, others))
        order = order[np.lexsort((-data[order], items[order]))]
        rank = np.arange(len(order)) - np.searchsorted(items[order], items[order])
        first = order[rank < _CHAMPIONS]
        shape = (rows.shape[1], rows.shape[0])
        return cls(strong, csr_array((data[first], (items[first], users[first])), shape=shape))

    def offer(self, best: Best, known: npt.NDArray[np.bool_]) -> None:
        """Offer champions of the queries' strong items, but for those who are `known`.

        Args:
            best: which has been offered likely neighbors.
            known: (n_users,) who they were.
        """
        best.raise_worst()
        strong = csr_array(self.strong[best.queries] @ self.champions).tocoo()
        places, others = strong.coords
        near = (strong.data >= _MOST_OF_IT * best.worst[places]) & ~known[others]
        best.offer(places[near].astype(np.int64), others[near])
