"""The items that most users have: the list for unknown users."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array

from contracts.messages import Floats
from trainer.counts.matrices import Matrix
from trainer.models.interface import Entry
from trainer.models.ranking import Ranking, top_n


class PopularConfig(BaseModel):
    """How long the list is."""

    model_config = ConfigDict(frozen=True)

    items: int = Field(default=200, gt=0, description="length of the popular list")


@dataclass(frozen=True, slots=True)
class Popular:
    """Score of i: G_ii, in binary mode the number of users who have it.

    Time and memory: one pass over the diagonal. It is the list for unknown users, and
    the baseline that every other model must beat.
    """

    config: PopularConfig
    name: ClassVar[str] = "popular"

    def fit(self, matrix: Matrix) -> "PopularRanker":
        """Return the ranker of `matrix` = G, (n_items, n_items); its one row is everybody."""
        return PopularRanker(self.config, matrix.diagonal())


@dataclass(frozen=True, slots=True, eq=False)
class PopularRanker:
    """Ranks all items once."""

    config: PopularConfig
    diagonal: Floats
    """(n_items,) G_ii"""

    @property
    def n_rows(self) -> int:
        """One list for everybody."""
        return 1

    def rank(self, start: int, stop: int) -> Ranking:
        """Return the list as row 0; support is the score itself."""
        everybody: Matrix = csr_array(self.diagonal[np.newaxis])[start:stop]
        return top_n(everybody, everybody.data, self.config.items)


ENTRY: Final = Entry(Popular, PopularConfig, of="everybody", space={})
