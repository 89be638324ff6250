"""Item Jaccard: what part of those who have one of two items has both.

A model as CONTRIBUTING says how to add one: `test_add_a_model` puts this file into a copy of
`trainer/models/`.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Matrix, entry_rows
from trainer.models.interface import Entry, Search
from trainer.models.neighbors import NEIGHBORS, best_neighbors
from trainer.models.ranking import Ranking, rounded


class JaccardConfig(BaseModel):
    """The default is the plain index."""

    model_config = ConfigDict(frozen=True)

    shrinkage: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="lambda, in the unit of G; draws scores that rest on few users towards 0",
    )


@dataclass(frozen=True, slots=True)
class Jaccard:
    """Score of j in the list of i: G_ij / (G_ii + G_jj - G_ij + lambda).

    Source: Tanimoto, "An elementary mathematical theory of classification and prediction", IBM
    internal report, 1958: Jaccard's index of sets, for affinities of any size.
    """

    config: JaccardConfig
    neighbors: int = NEIGHBORS
    """length of an item's list, at most"""
    name: ClassVar[str] = "jaccard"

    def fit(self, matrix: Matrix) -> "JaccardRanker":
        """Return the ranker of `matrix` = G, (n_items, n_items); a row is an item's neighbors."""
        return JaccardRanker(self.config, self.neighbors, matrix, matrix.diagonal())


@dataclass(frozen=True, slots=True, eq=False)
class JaccardRanker:
    """Ranks the neighbors of each item, itself left out."""

    config: JaccardConfig
    neighbors: int
    counts: Matrix
    """(n_items, n_items) G"""
    own: Floats
    """(n_items,) G_ii"""

    @property
    def n_rows(self) -> int:
        """One list an item."""
        return len(self.own)

    def rank(self, rows: Ints) -> Ranking:
        """Return the lists of some items; support is G_ij."""
        block = self.counts[rows]
        i, j = entry_rows(block.indptr, rows), block.indices
        either = self.own[i] + self.own[j] - block.data + self.config.shrinkage
        known = (self.own[i] > 0) & (self.own[j] > 0)
        scores = np.divide(block.data, either, out=np.zeros_like(block.data), where=known)
        return best_neighbors(block, rounded(scores), rows, self.neighbors)


def _candidates(search: Search) -> None:
    """Try the plain index, on the counts that are best so far."""
    best = search.best_of("cosine")
    counts = {name: of for name, of in best.items() if name.startswith("counts_")}
    search.measure(Jaccard.name, {**counts, "jaccard_shrinkage": 0})


ENTRY: Final = Entry(
    Jaccard,
    JaccardConfig,
    of="items",
    candidates=_candidates,
)
