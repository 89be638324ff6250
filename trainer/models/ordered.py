"""Ordered counts: what users take soon after an item."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Matrix, entry_rows
from trainer.counts.order import Order
from trainer.models.cosine import Cosine
from trainer.models.interface import Entry, Search
from trainer.models.ranking import NEIGHBORS, Ranking, best_neighbors, rounded

DAMPINGS: Final = ((0.8, 0.1), (0.5, 0.5))
"""Alpha and beta from where `auto` sets out: what comes next, and near to a cosine."""
LATEST: Final = (0, 1.5)
"""With what half-life in items: what comes next depends on the latest items."""


class OrderedConfig(BaseModel):
    """The defaults are good for what players of games took next."""

    model_config = ConfigDict(frozen=True)

    backwards: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="weight of a pair in reverse order, relative to the order in which users took "
        "the items",
    )
    lag_exponent: float = Field(
        default=0.5,
        ge=0,
        le=2,
        description="the weight of a pair is lag^-exponent, with the lag in places of the "
        "history; 0: the same at any distance up to 60",
    )
    own_damping: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="alpha, the exponent of the item's own count; the higher, the less a user's "
        "popular items matter",
    )
    popularity_damping: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="beta, the exponent of the neighbor's count; the higher, the lower popular "
        "items rank",
    )

    @property
    def order(self) -> Order:
        """What is counted."""
        return Order(self.backwards, self.lag_exponent)


@dataclass(frozen=True, slots=True)
class Ordered:
    """Score of j in the list of i: T_ij / (d_i^alpha x d_j^beta) / d^(1 - alpha - beta).

    T_ij is the sum of lag^-1/2 over the users who took j after i, the lag being how many places
    later, and 0.3 times that of those who took j before i. The d_i are the items' own counts G_ii,
    and d the largest of them: with it, counts in any unit make the same scores.

    Counts of the next items only are sequential rules; those of pairs in any order, a cosine's. It
    needs times that tell which of a user's items came first, and does best where the latest items
    say most: fold them in with `FOLD_IN_HALF_LIFE_ITEMS`.

    Time: a few operations an entry of T. Memory: that of a block.

    Sources: Kamehkhosh, Jannach and Ludewig, "A comparison of frequent pattern techniques and a
    deep learning method for session-based recommendation", RecTemp at RecSys 2017 (sequential
    rules, weighted by distance); the dampings as in `cosine` and `ease`.
    """

    config: OrderedConfig
    neighbors: int = NEIGHBORS
    """length of an item's list, at most"""
    name: ClassVar[str] = "ordered"

    def fit(self, matrix: Matrix) -> "OrderedRanker":
        """Return the ranker of `matrix` = T with G_ii in its diagonal; a row is i's neighbors."""
        return OrderedRanker(self.config, self.neighbors, matrix, matrix.diagonal())


@dataclass(frozen=True, slots=True, eq=False)
class OrderedRanker:
    """Ranks the neighbors of each item, itself left out."""

    config: OrderedConfig
    neighbors: int
    counts: Matrix
    """(n_items, n_items) T, with G_ii in the diagonal"""
    own: Floats
    """(n_items,) G_ii; 0 where the item's own count is not there yet: it is no neighbor then"""

    @property
    def n_rows(self) -> int:
        """One list an item."""
        return len(self.own)

    def rank(self, rows: Ints) -> Ranking:
        """Return the lists of some items; support is T_ij."""
        block = self.counts[rows]
        i, j = entry_rows(block.indptr, rows), block.indices
        largest = self.own.max(initial=0) or 1.0
        share = np.where(self.own > 0, self.own / largest, 1.0)
        damping = (share**-self.config.own_damping)[i] * (share**-self.config.popularity_damping)[j]
        known = (self.own[i] > 0) & (self.own[j] > 0)
        scores = np.where(known, block.data / largest * damping, 0)
        return best_neighbors(block, rounded(scores), rows, self.neighbors)


def _candidates(search: Search) -> None:
    """Try a few starting points."""
    cosine = search.best_of(Cosine.name)
    for (own, neighbors), half_life in product(DAMPINGS, LATEST):
        search.measure(
            Ordered.name,
            {
                "counts_user_weight_exponent": 0,
                "counts_half_life_days": cosine["counts_half_life_days"],
                "ordered_own_damping": own,
                "ordered_popularity_damping": neighbors,
                "ordered_lag_exponent": OrderedConfig().lag_exponent,
                "fold_in_half_life_items": half_life,
            },
        )


ENTRY: Final = Entry(
    Ordered,
    OrderedConfig,
    of="items",
    candidates=_candidates,
    ladders={"own_damping": (0.5, 0.6, 0.7, 0.8, 0.9, 1), "lag_exponent": (0, 0.25, 0.5, 1)},
    order=lambda config: config.order,
)
