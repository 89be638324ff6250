"""Some users who are compared with others: all pairs are bounded, few are looked at.

A pair's bound is a product of rows in single precision, made for a tile of users by users at a
time. What popular items add to it is a dense product, which costs 0.03 ns a pair and item; a sparse
one costs 10 ns for each item that the two share, and is what the other items are left to. Pairs
whose bound reaches the k-th best so far are compared in double precision.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from contracts.messages import Ints
from trainer.models.user_knn.best import Best
from trainer.models.user_knn.single import Single, SingleRows, Singles

_TILE: Final = 4_096
_POPULAR: Final = 1 / 20
"""Share of the users who have an item from which on the dense product is cheaper for it."""


class Pool:
    """Users among whom others' nearest are found, exactly."""

    def __init__(self, single: Single, members: Ints) -> None:
        """Prepare `members`, rows of users who have something; likely neighbors go first."""
        self._single, self._members = single, members
        rows = single.rows[members]
        had_by = np.bincount(rows.indices, minlength=rows.shape[1])
        self._popular = had_by >= max(len(members) * _POPULAR, 1)
        self._dense = self._head(rows, single.member_extension(members))
        rest = self._rest(rows)
        self._rests = [rest[start:stop].T.tocsr() for start, stop in self._tiles()]

    def offer(self, best: Best) -> None:
        """Offer every member that may be among the k nearest of the queries of `best`."""
        rows = self._single.rows[best.queries]
        head = self._head(rows, self._single.query_extension(best.queries))
        rest = self._rest(rows)
        for (start, stop), of_tile in zip(self._tiles(), self._rests, strict=True):
            bounds = head @ self._dense[start:stop].T
            if of_tile.nnz:
                bounds += (rest @ of_tile).toarray()
            members = self._members[start:stop]
            if not start:
                self._offer_likeliest(bounds, members, best)
            near = np.flatnonzero(bounds >= self._single.least(best.queries, best.worst))
            places, columns = np.divmod(near, len(members))
            best.offer(places, members[columns])

    @staticmethod
    def _offer_likeliest(bounds: Singles, members: Ints, best: Best) -> None:
        """Offer so many that the k-th best so far is known, and most other bounds are below it."""
        n = min(best.k + 1, len(members))  # who looks for neighbors may be among the members
        likeliest = np.argpartition(bounds, -n, axis=1)[:, -n:]
        best.offer(np.repeat(np.arange(len(bounds)), n), members[likeliest].ravel())
        best.raise_worst()
        np.put_along_axis(bounds, likeliest, np.nan, axis=1)  # not to be offered again

    def _tiles(self) -> Iterator[tuple[int, int]]:
        n = len(self._members)
        return ((start, min(start + _TILE, n)) for start in range(0, n, _TILE))

    def _head(self, rows: SingleRows, extension: Singles) -> Singles:
        popular = rows[:, np.flatnonzero(self._popular)].toarray()
        return np.ascontiguousarray(np.hstack([popular, extension]))

    def _rest(self, rows: SingleRows) -> SingleRows:
        kept = ~self._popular[rows.indices]
        indptr = np.concatenate([[0], np.cumsum(kept)])[rows.indptr]
        return SingleRows((rows.data[kept], rows.indices[kept], indptr), shape=rows.shape)
