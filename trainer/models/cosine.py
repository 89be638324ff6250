"""Item cosine: items are alike when the same users have them."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Matrix, entry_rows
from trainer.models.interface import Entry, Search
from trainer.models.ranking import NEIGHBORS, Ranking, best_neighbors, rounded

WEIGHTS: Final = (0, 0.5)
"""Of users, from where `auto` sets out."""
DAMPINGS: Final = ((0.5, 0.5), (0.7, 0.3), (0.9, 0.1), (0.3, 0))
"""Alpha and beta from there: the cosine, then popular neighbors rank higher; the last one is for
many items of few users each."""


class CosineConfig(BaseModel):
    """The defaults are the plain cosine."""

    model_config = ConfigDict(frozen=True)

    shrinkage: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="lambda, in users, or the unit of weighted counts; pulls scores based on few "
        "users towards 0",
    )
    own_damping: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="alpha, the exponent of the item's own count; the higher, the less a user's "
        "popular items matter",
    )
    popularity_damping: float = Field(
        default=0.5,
        ge=-0.5,
        le=1,
        description="beta, the exponent of the neighbor's count; the higher, the lower popular "
        "items rank",
    )
    popular_removed: int = Field(
        default=0,
        ge=0,
        description="number of most popular items that are in no list",
    )


@dataclass(frozen=True, slots=True)
class Cosine:
    """Score of j in the list of i: G_ij / (n_i^alpha x n_j^beta x n^(1 - alpha - beta) + lambda).

    n_i is the number of users who have the item, which is G_ii unless counts weight users, and n
    the largest of them. With alpha = beta = 1/2 and lambda = 0 it is the cosine of the two items'
    columns of R, as `cosine_similarity` of scikit-learn computes it. G_ij counts at most as
    sqrt(G_ii x G_jj), which it cannot exceed (Cauchy-Schwarz) unless one row was read a moment
    after the other, and in the unit of the n_i.

    The most popular items, those with the largest G_ii, can be removed: who does not know them?

    Time: a few operations an entry of G. Memory: that of a block.

    Sources: Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001
    (cosine); Aiolli, "Efficient top-N recommendation for very large scale binary rated datasets",
    RecSys 2013 (asymmetric: beta = 1 - alpha); Ferrari Dacrema et al., "Are we really making much
    progress?", RecSys 2019 (lambda in the denominator, after Bell and Koren, ICDM 2007).
    """

    config: CosineConfig
    neighbors: int = NEIGHBORS
    """length of an item's list, at most"""
    name: ClassVar[str] = "cosine"

    def fit(self, matrix: Matrix, users: Floats | None = None) -> "PairRanker":
        """Return the ranker of `matrix` = G, (n_items, n_items); a row is an item's neighbors."""
        config = self.config
        dampings = config.own_damping, config.popularity_damping
        others = config.shrinkage, config.popular_removed
        return PairRanker(self.neighbors, matrix, users, dampings, *others)


class PairRanker:
    """Ranks the neighbors of each item, itself left out. An item alone has an empty list."""

    def __init__(
        self,
        neighbors: int,
        counts: Matrix,
        users: Floats | None,
        dampings: tuple[float, float],
        shrinkage: float = 0,
        removed: int = 0,
    ) -> None:
        """Take G or T; an item whose own count, in the diagonal, is not there is no neighbor."""
        self._neighbors, self._counts, self._shrinkage = neighbors, counts, shrinkage
        own = counts.diagonal()
        self._listed = own > 0
        self._listed[np.argsort(-own, kind="stable")[:removed]] = False
        having = own if users is None else np.where(own > 0, users, 0)
        self._unit = float(having.sum() / own.sum()) if own.any() else 1.0
        self._largest = float(having.max(initial=0))
        # Roots before the product: weighted counts may be too large to multiply.
        self._roots = np.sqrt(own)
        share = np.where(own > 0, having / (having.max(initial=0) or 1.0), 1)
        self._own, self._others = (share**damping for damping in dampings)

    @property
    def n_rows(self) -> int:
        """One list an item."""
        return len(self._roots)

    def rank(self, rows: Ints) -> Ranking:
        """Return the lists of some items; support is the pair's count."""
        block = self._counts[rows]
        i, j = entry_rows(block.indptr, rows), block.indices
        most = self._roots[i] * self._roots[j]
        scale = self._largest * self._own[i] * self._others[j] + self._shrinkage
        known = (most > 0) & self._listed[j]
        within = np.minimum(block.data, most) * self._unit
        scores = np.divide(within, scale, out=np.zeros_like(within), where=known)
        return best_neighbors(block, rounded(scores), rows, self._neighbors)


def _candidates(search: Search) -> None:
    """Try how users and popular items count."""
    for weight, (own, neighbors) in product(WEIGHTS, DAMPINGS):
        search.measure(
            Cosine.name,
            {
                "counts_user_weight_exponent": weight,
                "counts_half_life_days": 0,
                "cosine_shrinkage": 0,
                "cosine_own_damping": own,
                "cosine_popularity_damping": neighbors,
            },
        )


ENTRY: Final = Entry(
    Cosine,
    CosineConfig,
    of="items",
    candidates=_candidates,
    ladders={
        "popularity_damping": (-0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.5),
        "own_damping": (0, 0.15, 0.3, 0.5, 0.7, 0.8, 0.9, 1),
        "shrinkage": (0, 1, 4, 12, 40),
    },
)
