"""Counts built from histories, where users or time are weighted differently, or order matters.

The workers' G weights all users alike, or by `USER_WEIGHT`, and cannot be reweighted afterwards.
Histories can: they have every affinity and the time of its last event. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from contracts.times import DAY_MS
from trainer.counts.blocks import blocks
from trainer.counts.matrices import (
    Matrix,
    UserItems,
    cells_of,
    entries_where,
    entry_rows,
    places_in,
)
from trainer.counts.order import Order, ordered

NOISE: Final = 1e-9
"""The fraction of a count that remains as noise when all of it was subtracted again."""
ENTRIES_PER_BLOCK: Final = 1_000_000
"""Counts that others are subtracted from at once."""
HALF_LIVES_MOST: Final = 400
"""After which nothing decays further: even the square is above 0, as a user still has the item."""


class CountsConfig(BaseModel):
    """What G is built from: the workers' counts, or histories with other weights."""

    model_config = ConfigDict(frozen=True)

    user_weight_exponent: float = Field(
        default=0,
        ge=0,
        le=1,
        description="above 0, the trainer recounts from histories and scales users' affinities by "
        "(items in the history)^-exponent",
    )
    half_life_days: float = Field(
        default=0,
        ge=0,
        le=36_500,
        description="above 0, the trainer recounts from histories and halves affinities for each "
        "half-life since the last event",
    )
    users: int = Field(
        default=200_000,
        ge=0,
        description="number of users whose histories are read to recount, latest event first",
    )


@dataclass(frozen=True, slots=True)
class Counting:
    """What an item model's counts are of."""

    weights: CountsConfig
    order: Order | None = None
    """how pairs count by their order; None: whatever their order"""

    @property
    def is_streamed(self) -> bool:
        """Whether the workers' counts are used unchanged."""
        weights = self.weights
        return not (weights.user_weight_exponent or weights.half_life_days or self.order)


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What users have, and since when."""

    affinities: Matrix
    """(n_users, n_items) r_ui, without the users' scales"""
    ts_ms: Ints
    """(entries,) aligned with `affinities.data`: the last event's time"""
    first_ms: Ints | None = None
    """(entries,) the first event's time; None: the same"""
    users: Sequence[str] = ()
    """n_users ids; if there are none, the rows' numbers are"""

    @property
    def names(self) -> Sequence[str]:
        """n_users ids."""
        return self.users or [str(row) for row in range(self.affinities.shape[0])]

    @property
    def since_ms(self) -> Ints:
        """(entries,) the first event's time."""
        return self.ts_ms if self.first_ms is None else self.first_ms

    @property
    def degrees(self) -> Ints:
        """(n_users,) how many items each user has."""
        return np.diff(self.affinities.indptr).astype(np.int64)

    def users_of_entries(self) -> Ints:
        """Return (entries,) whose entry each is."""
        return entry_rows(self.affinities.indptr)

    def where(self, kept: npt.NDArray[np.bool_]) -> "Histories":
        """Return the entries that `kept`, (entries,), is true for, of the same users and items."""
        some = entries_where(self.affinities, kept)
        return Histories(some, self.ts_ms[kept], self.since_ms[kept], self.users)


def histories_of(user_items: UserItems, items: Ints) -> tuple[Histories, Floats]:
    """Return histories with a column for each of `items`, and the affinities as stored.

    An item that is not among `items` is left out: it has no counts yet.

    Args:
        user_items: as read out of Redis.
        items: (n_items,) ids, ascending.
    """
    stored = user_items.affinities
    ids = user_items.items[stored.indices]
    if not len(items):
        return Histories(csr_array((stored.shape[0], 0)), np.empty(0, np.int64)), np.empty(0)
    places = np.minimum(np.searchsorted(items, ids), len(items) - 1)
    known = items[places] == ids
    indptr = np.concatenate([[0], np.cumsum(known)])[stored.indptr]
    shape = (stored.shape[0], len(items))
    # Ids ascend in both, so columns still ascend within a row.
    made: Matrix = csr_array((user_items.unscaled[known], places[known], indptr), shape)
    times = (user_items.ts_ms[known], user_items.first_ms[known])
    return Histories(made, *times, user_items.users), stored.data[known]


def first_users(user_items: UserItems, n: int) -> UserItems:
    """Return what the first n users have."""
    affinities = user_items.affinities[:n]
    return UserItems(
        user_items.users[:n],
        user_items.offsets[:n],
        user_items.items,
        csr_array(affinities),
        user_items.unscaled[: affinities.nnz],
        user_items.ts_ms[: affinities.nnz],
        user_items.first_ms[: affinities.nnz],
    )


def counts_of(histories: Histories, streamed: Matrix, counting: Counting) -> tuple[Matrix, Floats]:
    """Return what an item model is fitted to, (n_items, n_items): G, or T with G_ii; and n_i.

    The n_i, (n_items,), are the G_ii of users who all count alike: in mode binary, and if time does
    not count, how many users have each item.

    Args:
        histories: of (n_users, n_items).
        streamed: G as the workers keep it; items that no history has keep these counts.
        counting: what is counted.
    """
    all_ = streamed.diagonal()
    if counting.is_streamed:
        return streamed, all_
    rows = weighted(histories, counting.weights)
    if counting.order:
        gram = ordered(rows, histories.ts_ms, counting.order)
    else:
        gram = csr_array(rows.T @ rows)
        gram.sort_indices()
    is_held = np.bincount(rows.indices, minlength=rows.shape[1]) > 0
    alike = weighted(histories, counting.weights.model_copy(update={"user_weight_exponent": 0}))
    users = np.bincount(alike.indices, alike.data**2, alike.shape[1])
    scale = users.sum() / (all_[is_held].sum() or 1.0)
    return completed(gram, streamed, is_held), np.where(is_held, users, all_ * scale)


def weighted(histories: Histories, config: CountsConfig) -> Matrix:
    """Return R of histories, entry by entry, users and times weighted as the configuration says.

    R_ui is r_ui x degree_u^-exponent x 2^((t_ui - t) / half_life), t being the latest time of all.
    """
    data = histories.affinities.data
    if config.half_life_days and len(data):
        data = data * decay(histories.ts_ms.max() - histories.ts_ms, config.half_life_days)
    scales = np.maximum(histories.degrees, 1.0) ** -config.user_weight_exponent
    found = histories.affinities
    return csr_array(
        (data * scales[histories.users_of_entries()], found.indices, found.indptr), found.shape
    )


def decay(age_ms: Ints, half_life_days: float) -> Floats:
    """Return 2^-(age / half_life), above 0 at any age."""
    return np.exp2(-np.minimum(age_ms / (DAY_MS * half_life_days), HALF_LIVES_MOST))


def without(gram: Matrix, before: Matrix, after: Matrix) -> Matrix:
    """Return G when some users' histories `before` are `after` instead: (n_users, n_items) each.

    Subtracting from a count may leave floating-point noise, which is dropped. What is not in G, as
    it was folded after G was read, is not subtracted.
    """
    change: Matrix = csr_array(before.T @ before - after.T @ after)
    change.sort_indices()
    left = gram.copy()
    # Some rows at a time: the cells of all would take most of the memory of a run.
    for start, stop in blocks(np.diff(gram.indptr).astype(np.int64), ENTRIES_PER_BLOCK):
        some = change[start:stop]
        places, known = places_in(cells_of(gram[start:stop]), cells_of(some))
        places = places[known] + gram.indptr[start]
        data = left.data[places] - some.data[known]
        left.data[places] = np.where(data > gram.data[places] * NOISE, data, 0)
    left.eliminate_zeros()
    return left


def completed(derived: Matrix, streamed: Matrix, is_held: npt.NDArray[np.bool_]) -> Matrix:
    """Counts of some users' histories, plus the workers' counts of items that none of them has.

    The workers' counts are scaled so that the items that both know have the same sum.

    Args:
        derived: (n_items, n_items) counts of the histories.
        streamed: (n_items, n_items) G as the workers keep it.
        is_held: (n_items,) whether any of the histories has an item, however small its count.
    """
    own, all_ = derived.diagonal(), streamed.diagonal()
    missing = ~is_held & (all_ > 0)
    if not missing.any():
        return derived
    both = ~missing & (all_ > 0)
    scale = float(own[both].sum() / all_[both].sum()) if both.any() else 1.0
    kept = missing[entry_rows(streamed.indptr)] | missing[streamed.indices]
    rest = entries_where(streamed, kept, streamed.data * scale)
    made: Matrix = csr_array(derived + rest)
    made.sort_indices()
    return made
