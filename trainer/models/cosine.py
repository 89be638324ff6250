"""Item cosine: items are alike when the same users have them."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Indices, Matrix, entry_rows
from trainer.models.interface import Entry, Search
from trainer.models.ranking import NEIGHBORS, Ranking, best_neighbors, rounded

WEIGHTS: Final = (0, 0.5)
DAMPINGS: Final = (0.5, 0.3, 0.1)
"""Of users and of popular items, from where `auto` sets out."""


class CosineConfig(BaseModel):
    """The defaults are the plain cosine."""

    model_config = ConfigDict(frozen=True)

    shrinkage: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="lambda, in the unit of the counts; pulls scores based on few users towards 0",
    )
    popularity_damping: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="beta, the exponent of the neighbor's count; above 0.5 popular items rank "
        "lower",
    )
    popular_removed: int = Field(
        default=0,
        ge=0,
        description="number of most popular items that are in no list",
    )


@dataclass(frozen=True, slots=True)
class Cosine:
    """Score of j in the list of i: G_ij / (G_ii^(1 - beta) x G_jj^beta + lambda).

    With beta = 1/2 and lambda = 0 it is the cosine of the two items' columns of R, as
    `cosine_similarity` of scikit-learn computes it. G_ij counts at most as sqrt(G_ii x G_jj), which
    it cannot exceed (Cauchy-Schwarz) unless one row was read a moment after the other.

    The most popular items, those with the largest G_ii as `popular` ranks them, can be removed: who
    does not know them? It is their number that is set, not a share of the users, which G does not
    have, so that as many are left out however the counts grow or decay.

    Time: a few operations an entry of G. Memory: that of a block. Take it for the plainest answer
    to "what is like this item", and where someone must see at once why.

    Sources: Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001
    (cosine); Aiolli, "Efficient top-N recommendation for very large scale binary rated datasets",
    RecSys 2013 (asymmetric, beta); Ferrari Dacrema et al., "Are we really making much progress?",
    RecSys 2019 (lambda in the denominator, after Bell and Koren, ICDM 2007).
    """

    config: CosineConfig
    neighbors: int = NEIGHBORS
    """length of an item's list, at most"""
    name: ClassVar[str] = "cosine"

    def fit(self, matrix: Matrix) -> "CosineRanker":
        """Return the ranker of `matrix` = G, (n_items, n_items); a row is an item's neighbors."""
        own = matrix.diagonal()
        listed = np.ones(len(own), np.bool_)
        listed[np.argsort(-own, kind="stable")[: self.config.popular_removed]] = False
        return CosineRanker(self.config, self.neighbors, matrix, own, listed)


@dataclass(frozen=True, slots=True, eq=False)
class CosineRanker:
    """Ranks the neighbors of each item, itself left out. An item alone has an empty list."""

    config: CosineConfig
    neighbors: int
    counts: Matrix
    """(n_items, n_items) G"""
    diagonal: Floats
    """(n_items,) G_ii; 0 where the item's own count is not there yet: it is no neighbor then"""
    listed: npt.NDArray[np.bool_]
    """(n_items,) which items may be in lists"""

    @property
    def n_rows(self) -> int:
        """One list an item."""
        return len(self.diagonal)

    def rank(self, rows: Ints) -> Ranking:
        """Return the lists of some items; support is G_ij."""
        block = self.counts[rows]
        scores = self._scores(block.data, entry_rows(block.indptr, rows), block.indices)
        return best_neighbors(block, scores, rows, self.neighbors)

    def _scores(self, counts: Floats, i: Indices, j: Indices) -> Floats:
        """Return the score of each pair, 0 where one has no count of its own or j is in no list."""
        beta = self.config.popularity_damping
        # Roots before the product: weighted counts may be too large to multiply.
        norms = np.sqrt(self.diagonal)
        most = norms[i] * norms[j]
        scale = (norms ** (2 * (1 - beta)))[i] * (norms ** (2 * beta))[j] + self.config.shrinkage
        within = np.minimum(counts, most)
        known = (most > 0) & self.listed[j]
        return rounded(np.divide(within, scale, out=np.zeros_like(counts), where=known))


def _candidates(search: Search) -> None:
    """Try how users and popular items count."""
    for weight, damping in product(WEIGHTS, DAMPINGS):
        search.measure(
            Cosine.name,
            {
                "counts_user_weight_exponent": weight,
                "counts_half_life_days": 0,
                "cosine_popularity_damping": damping,
            },
        )


ENTRY: Final = Entry(
    Cosine,
    CosineConfig,
    of="items",
    candidates=_candidates,
    ladders={"popularity_damping": (0, 0.1, 0.2, 0.3, 0.5)},
)
