"""Item cosine: items are alike when the same users have them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array

from contracts.messages import Floats
from trainer.matrices import Indices, Matrix
from trainer.ranking import Ranking, rounded, top_n


class CosineConfig(BaseModel):
    """The defaults are the plain cosine."""

    model_config = ConfigDict(frozen=True)

    neighbors: int = Field(default=200, gt=0, description="length of an item's list")
    shrinkage: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="lambda, in the unit of G; draws scores that rest on few users towards 0",
    )
    popularity_damping: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="beta, the exponent of the neighbor's own count; above 0.5 popular items sink",
    )


@dataclass(frozen=True, slots=True)
class Cosine:
    """Score of j in the list of i: G_ij / (G_ii^(1 - beta) x G_jj^beta + lambda).

    With beta = 1/2 and lambda = 0 it is the cosine of the two items' columns of R, as
    `cosine_similarity` of scikit-learn computes it. G_ij counts at most as sqrt(G_ii x G_jj), which
    it cannot exceed (Cauchy-Schwarz) unless one row was read a moment after the other.

    Sources: Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001
    (cosine); Aiolli, "Efficient top-N recommendation for very large scale binary rated datasets",
    RecSys 2013 (asymmetric, beta); Ferrari Dacrema et al., "Are we really making much progress?",
    RecSys 2019 (lambda in the denominator, after Bell and Koren, ICDM 2007).
    """

    config: CosineConfig
    name: ClassVar[str] = "cosine"

    def fit(self, matrix: Matrix) -> "CosineRanker":
        """Return the ranker of `matrix` = G, (n_items, n_items); a row is an item's neighbors."""
        return CosineRanker(self.config, matrix, matrix.diagonal())


@dataclass(frozen=True, slots=True, eq=False)
class CosineRanker:
    """Ranks the neighbors of each item, itself left out. An item alone has an empty list."""

    config: CosineConfig
    counts: Matrix
    """(n_items, n_items) G"""
    diagonal: Floats
    """(n_items,) G_ii; 0 where the item's own count is not there yet: it is no neighbor then"""

    @property
    def n_rows(self) -> int:
        """One list an item."""
        return len(self.diagonal)

    def rank(self, start: int, stop: int) -> Ranking:
        """Return the lists of the items `start <= i < stop`; support is G_ij."""
        block = self.counts[start:stop]
        rows = np.repeat(np.arange(start, start + block.shape[0]), np.diff(block.indptr))
        scores = self._scores(block.data, rows, block.indices)
        pairs = (scores > 0) & (rows != block.indices)
        indptr = np.concatenate([[0], np.cumsum(pairs)])[block.indptr]
        neighbors: Matrix = csr_array(
            (scores[pairs], block.indices[pairs], indptr), shape=block.shape
        )
        return top_n(neighbors, block.data[pairs], self.config.neighbors)

    def _scores(self, counts: Floats, i: Indices, j: Indices) -> Floats:
        """Return the score of each pair, 0 where one of the two has no count of its own."""
        beta = self.config.popularity_damping
        # Roots before the product: weighted counts may be too large to multiply.
        norms = np.sqrt(self.diagonal)
        known = (self.diagonal[i] > 0) & (self.diagonal[j] > 0)
        scale = norms[i] ** (2 * (1 - beta)) * norms[j] ** (2 * beta) + self.config.shrinkage
        within = np.minimum(counts, norms[i] * norms[j])
        return rounded(np.divide(within, scale, out=np.zeros_like(counts), where=known))
