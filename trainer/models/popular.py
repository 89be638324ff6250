"""The items that most users have, or took lately: the list for unknown users."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array, diags_array

from contracts.messages import Floats, Ints
from trainer.counts.derived import NOISE, Histories, decay
from trainer.counts.matrices import Matrix
from trainer.models.interface import Entry
from trainer.models.ranking import Ranking, top_n


class PopularConfig(BaseModel):
    """How long the list is, and how fast popularity passes."""

    model_config = ConfigDict(frozen=True)

    items: int = Field(
        default=50_000,
        gt=0,
        description="length of the popular list, which also serves categories, so it should have "
        "all items",
    )
    half_life_days: float | None = Field(
        default=None,
        ge=0,
        le=36_500,
        description="age at which a user who took an item counts half in the popular list; 0: age "
        "does not matter; none: chosen automatically",
    )


@dataclass(frozen=True, slots=True)
class Popular:
    """Score of i: G_ii, in binary mode the number of users who have it, decayed if that is wanted.

    `recent_counts` decays. Time and memory: one pass over the diagonal. It is the list for unknown
    users, and the baseline that every other model must beat.
    """

    config: PopularConfig
    name: ClassVar[str] = "popular"

    def fit(self, matrix: Matrix, users: Floats | None = None) -> "PopularRanker":  # noqa: ARG002
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

    def rank(self, rows: Ints) -> Ranking:
        """Return the list as row 0; support is the score itself."""
        everybody: Matrix = csr_array(self.diagonal[np.newaxis])[rows]
        return top_n(everybody, everybody.data, self.config.items)


def recent_counts(
    histories: Histories, stored: Floats, gram: Matrix, half_life_days: float
) -> Matrix:
    """Return G with only its diagonal, (n_items, n_items), as of the latest time of all.

    What G_ii has besides the histories is of users who have been away for longer than the others:
    it counts as of the time when the last one of these was active.

    Args:
        histories: of (n_users, n_items), the latest active users.
        stored: (entries,) their affinities as the workers have them, users' scales included.
        gram: (n_items, n_items) G as the workers keep it.
        half_life_days: 0: age does not matter.
    """
    own = gram.diagonal()
    if half_life_days and len(stored):
        others = own - decayed_counts(histories, stored, 0)
        others[others < own * NOISE] = 0
        starts = histories.affinities.indptr[:-1][histories.degrees > 0]
        age_ms = histories.ts_ms.max() - np.maximum.reduceat(histories.ts_ms, starts).min()
        others *= decay(age_ms, half_life_days)
        own = decayed_counts(histories, stored, half_life_days) + others
    made: Matrix = csr_array(diags_array(own))
    return made


def decayed_counts(histories: Histories, stored: Floats, half_life_days: float) -> Floats:
    """Return (n_items,) `sum_u r_ui^2 x 2^(-(t - t_ui) / half_life)`, t the latest time of all.

    The arguments are those of `recent_counts`.
    """
    counted = stored**2
    if half_life_days:
        counted *= decay(histories.ts_ms.max(initial=0) - histories.ts_ms, half_life_days)
    of = histories.affinities
    sums: Floats = np.bincount(of.indices, counted, of.shape[1]).astype(np.float64)
    return sums


ENTRY: Final = Entry(Popular, PopularConfig, of="everybody")
