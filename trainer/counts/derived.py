"""Counts made of histories, where those that the workers keep should count users or time otherwise.

The workers' G counts all users alike, or as `USER_WEIGHT` says, and cannot be counted otherwise
afterwards. Histories can: they have every affinity and the time of its last event. Pure.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array, diags_array

from contracts.affinities import DAY_MS
from contracts.messages import Floats, Ints
from trainer.counts.matrices import Matrix, UserItems

NOISE: Final = 1e-9
"""What is left of a count, for one of what it was, when all of it was taken out again."""


class CountsConfig(BaseModel):
    """What G is made of: as the workers count, or of histories, counted otherwise."""

    model_config = ConfigDict(frozen=True)

    user_weight_exponent: float = Field(
        default=0,
        ge=0,
        le=1,
        description="users' affinities are scaled by degree^-exponent, the degree being the number "
        "of items in the history: as `USER_WEIGHT=inverse-degree` does in the stream, but exact",
    )
    half_life_days: float = Field(
        default=0,
        ge=0,
        le=36_500,
        description="affinities are halved for each that the last event is old; 0: they are not",
    )
    users: int = Field(
        default=200_000,
        ge=0,
        description="of how many users, latest event first, histories are read: to count them "
        "otherwise, to hold events out, and for users' own lists",
    )

    @property
    def is_streamed(self) -> bool:
        """Whether the workers' counts are taken as they are."""
        return not self.user_weight_exponent and not self.half_life_days


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What users have, and since when."""

    affinities: Matrix
    """(n_users, n_items) r_ui, without the users' scales"""
    ts_ms: Ints
    """(entries,) beside `affinities.data`: the last event's time"""

    @property
    def degrees(self) -> Ints:
        """(n_users,) how many items each user has."""
        return np.diff(self.affinities.indptr).astype(np.int64)

    def users_of_entries(self) -> Ints:
        """Return (entries,) whose entry each is."""
        return np.repeat(np.arange(self.affinities.shape[0]), self.degrees)

    def where(self, kept: npt.NDArray[np.bool_]) -> "Histories":
        """Return the entries that `kept`, (entries,), is true for, of the same users and items."""
        indptr = np.concatenate([[0], np.cumsum(kept)])[self.affinities.indptr]
        found = self.affinities
        return Histories(
            csr_array((found.data[kept], found.indices[kept], indptr), found.shape),
            self.ts_ms[kept],
        )

    def columns(self, order: Ints) -> "Histories":
        """Return the same with the items in another order: `order[k]` becomes column k."""
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        found = self.affinities
        # The times go along as the values of a matrix of the same shape.
        moved: Matrix = csr_array((found.data, place[found.indices], found.indptr), found.shape)
        times = csr_array((self.ts_ms, place[found.indices], found.indptr), found.shape)
        moved.sort_indices()
        times.sort_indices()
        return Histories(moved, np.asarray(times.data, np.int64))


def histories_of(user_items: UserItems, items: Ints) -> tuple[Histories, Floats]:
    """Return histories with a column for each of `items`, and beside them the affinities as stored.

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
    return Histories(made, user_items.ts_ms[known]), stored.data[known]


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
    )


def gram_of(histories: Histories, config: CountsConfig) -> Matrix:
    """Return G = R^T R of histories, users and times counted as the configuration says.

    R_ui is r_ui x degree_u^-exponent x 2^((t_ui - t) / half_life), t being the latest time of all.
    """
    data = histories.affinities.data
    if config.half_life_days and len(data):
        ages = histories.ts_ms - histories.ts_ms.max()
        data = data * np.exp2(ages / (DAY_MS * config.half_life_days))
    scales = np.maximum(histories.degrees, 1) ** -config.user_weight_exponent
    found = histories.affinities
    rows: Matrix = csr_array((data, found.indices, found.indptr), found.shape)
    weighted: Matrix = csr_array(diags_array(scales) @ rows)
    gram: Matrix = csr_array(weighted.T @ weighted)
    gram.sort_indices()
    return gram


def without(gram: Matrix, before: Matrix, after: Matrix) -> Matrix:
    """Return G when some users' histories `before` are `after` instead: (n_users, n_items) each.

    What is taken out of a count may leave some floating noise of it, which is no count. What is not
    in G, as it was folded after G was read, is not taken out of it.
    """
    change: Matrix = csr_array(before.T @ before - after.T @ after)
    change.sort_indices()
    if not gram.nnz:
        return gram
    there, wanted = _places(gram), _places(change)
    places = np.minimum(np.searchsorted(there, wanted), gram.nnz - 1)
    known = there[places] == wanted
    data = gram.data.copy()
    data[places[known]] -= change.data[known]
    data[data <= gram.data * NOISE] = 0
    left: Matrix = csr_array((data, gram.indices.copy(), gram.indptr.copy()), gram.shape)
    left.eliminate_zeros()
    return left


def _places(some: Matrix) -> Ints:
    """Return (entries,) row x n_columns + column of each entry, ascending."""
    rows = np.repeat(np.arange(some.shape[0], dtype=np.int64), np.diff(some.indptr))
    return rows * some.shape[1] + some.indices


def completed(derived: Matrix, streamed: Matrix) -> Matrix:
    """Return counts of some users' histories, and of items that none of these has, the workers'.

    The workers' counts are scaled so that the items that both know have the same sum.
    """
    own, all_ = derived.diagonal(), streamed.diagonal()
    missing = (own == 0) & (all_ > 0)
    if not missing.any():
        return derived
    both = ~missing & (all_ > 0)
    scale = float(own[both].sum() / all_[both].sum()) if both.any() else 1.0
    rows = np.repeat(np.arange(streamed.shape[0]), np.diff(streamed.indptr))
    kept = missing[rows] | missing[streamed.indices]
    indptr = np.concatenate([[0], np.cumsum(kept)])[streamed.indptr]
    rest: Matrix = csr_array(
        (streamed.data[kept] * scale, streamed.indices[kept], indptr), streamed.shape
    )
    made: Matrix = csr_array(derived + rest)
    made.sort_indices()
    return made
