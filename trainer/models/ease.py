"""EASE: what each item tells of another that its other neighbors do not tell already."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from contracts.messages import Floats
from trainer.counts.matrices import Indices, Matrix
from trainer.models.cosine import Cosine, CosineConfig, CosineRanker
from trainer.models.neighbors import best_neighbors
from trainer.models.ranking import Ranking, rounded

_blas = ThreadpoolController().select(user_api="blas")
"""Its threads cost many small matrices more than they help."""


class EaseConfig(BaseModel):
    """The defaults suit a shop's purchases by time and by user, about equally."""

    model_config = ConfigDict(frozen=True)

    neighbors: int = Field(default=200, gt=0, description="length of an item's list, at most")
    regularization: float = Field(
        default=2,
        gt=0,
        allow_inf_nan=False,
        description="lambda, in multiples of the mean G_ii; the higher, the more popular the items "
        "that are recommended",
    )
    neighborhood: int = Field(
        default=100,
        gt=0,
        description="how many items, nearest by cosine, an item's weights are solved among; its "
        "list is a part of them, and the time grows with the square and more",
    )


@dataclass(frozen=True, slots=True)
class Ease:
    """Score of j in the list of i: B_ij = -P_ij / P_jj, if above 0, where P = (G + lambda I)^-1.

    These are the weights of the ridge regression that predicts each column of R from the others:
    `sum_i r_ui B_ij` is what user u's items say of item j, and what two of them both say counts
    once.

    P is that of each item i's neighborhood alone: G and the identity are cut down to i and the
    items nearest to it by cosine. It is the whole P where these are all there are. Nothing is lost
    by that: on the purchases of UCI "Online Retail", 3,565 items, each with the best lambda of a
    grid, the whole P finds nDCG@10 0.105 (temporal split) and 0.285 (per user), neighborhoods of
    100 items 0.106 and 0.315. The whole P of the 500 to 2,000 most popular items, with cosine for
    the others, finds 0.104 to 0.106 and 0.262 to 0.286.

    Lambda is a multiple of the mean G_ii. So decaying counts, whose unit grows with time, give the
    same lists in whatever unit, and every inverse is well-conditioned.

    Time: an inverse of a neighborhood's size an item. 50,000 items with 22 million entries of G
    take 23 s on one core with neighborhoods of 100, and 62 s with 200. Memory: that of a block.
    Take it first: of the models here it foresees best what users take next.

    Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019. The inverse of a
    neighborhood, one row of it kept, is how sparse approximate inverses are made: Benzi, "A sparse
    approximate inverse preconditioner for nonsymmetric linear systems", SIAM J. Sci. Comput. 19(3),
    1998; for EASE compare Spišák et al., "Scalable approximate nonsymmetric autoencoder for
    collaborative filtering", RecSys 2023.
    """

    config: EaseConfig
    name: ClassVar[str] = "ease"

    def fit(self, matrix: Matrix) -> "EaseRanker":
        """Return the ranker of `matrix` = G, (n_items, n_items); a row is an item's neighbors."""
        nearest = Cosine(CosineConfig(neighbors=self.config.neighborhood)).fit(matrix)
        own = matrix.diagonal()
        unit = own.max(initial=0) or 1.0  # a sum of counts in it is of numbers of any size
        known = own[own > 0] / unit
        ridge = self.config.regularization * float(known.mean()) if len(known) else 1.0
        return EaseRanker(self.config, matrix, nearest, unit, ridge)


@dataclass(frozen=True, slots=True, eq=False)
class EaseRanker:
    """Ranks the neighbors of each item, itself left out."""

    config: EaseConfig
    counts: Matrix
    """(n_items, n_items) G"""
    nearest: CosineRanker
    """of each item's neighborhood"""
    unit: float
    """that the counts are solved in"""
    ridge: float
    """lambda, in that unit"""

    @property
    def n_rows(self) -> int:
        """One list an item."""
        return self.counts.shape[0]

    def rank(self, start: int, stop: int) -> Ranking:
        """Return the lists of the items `start <= i < stop`; support is G_ij."""
        near = self._neighborhoods(start, stop)
        weights = np.zeros(near.nnz)
        with _blas.limit(limits=1):
            for i, (first, end) in enumerate(pairwise(near.indptr.tolist()), start):
                weights[first:end] = self._weights(i, near.indices[first:end])
        return best_neighbors(near, rounded(weights), start, self.config.neighbors)

    def _neighborhoods(self, start: int, stop: int) -> Matrix:
        """Return (stop - start, n_items): of the rows of G what is in the items' neighborhoods."""
        nearest = self.nearest.rank(start, stop)
        near: Matrix = csr_array(
            (nearest.support, nearest.columns, nearest.indptr), shape=(len(nearest), self.n_rows)
        )
        near.sort_indices()
        return near

    def _weights(self, i: int, others: Indices) -> Floats:
        """Return (len(others),) B_ij of the items j around item i."""
        around = np.concatenate([[i], others])
        counts = self.counts[around][:, around].toarray() / self.unit
        inverse = np.linalg.inv(counts + self.ridge * np.eye(len(around)))
        weights: Floats = -inverse[0, 1:] / inverse.diagonal()[1:]
        return weights
