"""Ordered counts: what users take soon after an item."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from contracts.messages import Floats
from trainer.counts.matrices import Matrix
from trainer.counts.order import Order
from trainer.models.cosine import Cosine, PairRanker
from trainer.models.interface import Entry, Search
from trainer.models.ranking import NEIGHBORS

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
        ge=-0.5,
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
    """Score of j in the list of i: that of `cosine`, with T_ij for G_ij, and G_ii for n_i.

    T_ij is the sum of lag^-1/2 over the users who took j after i, the lag being how many places
    later, and 0.3 times that of those who took j before i.

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

    def fit(self, matrix: Matrix, users: Floats | None = None) -> PairRanker:  # noqa: ARG002
        """Return the ranker of `matrix` = T with G_ii in its diagonal; a row is i's neighbors."""
        dampings = self.config.own_damping, self.config.popularity_damping
        return PairRanker(self.neighbors, matrix, None, dampings)


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
