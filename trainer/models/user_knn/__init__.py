"""User k-nearest-neighbors: what the users most like this one have, and this one has not."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array, diags_array

from contracts.messages import Floats, Ints
from trainer.counts.matrices import (
    Matrix,
    cells,
    cells_of,
    entries_where,
    entry_rows,
    found_in,
    matrix,
)
from trainer.models.interface import Entry
from trainer.models.ranking import Ranking, joined, rounded, top_n
from trainer.models.user_knn.neighbors import NOBODY, Metric, Neighbors, Users, nearest_users

REASONS: Final = 3
"""How many of the user's own items a recommendation names in `because`, at most."""


def candidates(weights: Matrix, rows: Matrix, own: Matrix) -> tuple[Matrix, Floats]:
    """Return the score of each neighbors' item that is not the user's own, and its support.

    Args:
        weights: (n, n_users) w_uv of each user's neighbors.
        rows: (n_users, n_items) X.
        own: (n, n_items) the users' own rows of X.
    """
    total: Floats = np.asarray(weights.sum(axis=1), np.float64)
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    scores = csr_array(diags_array(scale) @ weights @ rows)
    support = csr_array(_ones(weights) @ _ones(rows))
    scores.sort_indices()
    support.sort_indices()  # the two have the same entries: no term is below zero

    data = rounded(scores.data)
    new = data > 0
    new[found_in(cells_of(own), cells_of(scores), own.shape)[0]] = False
    return entries_where(scores, new, data), support.data[new]


def because(ranking: Ranking, weights: Matrix, rows: Matrix, own: Matrix) -> Ints:
    """Return (entries, REASONS) own items j by x_uj x sum over neighbors v of x_vj x x_vi.

    Args:
        ranking: what is recommended to n users.
        weights: (n, n_users) whose entries are their neighbors.
        rows: (n_users, n_items) X.
        own: (n, n_items) the users' own rows of X.
    """
    because = np.full((len(ranking.columns), REASONS), -1, np.int64)
    near = rows[weights.indices]  # the neighbors of the first user, of the second one, ...
    of_user = entry_rows(weights.indptr)
    in_near = cells(np.repeat(of_user, np.diff(near.indptr)), near.indices, own.shape[1])

    entries = entry_rows(ranking.indptr)
    of_entries = cells(entries, ranking.columns, own.shape[1])
    ascending = np.argsort(of_entries)
    found, place = found_in(of_entries[ascending], in_near, own.shape)
    theirs = _part(near, found, ascending[place], near.data[found], len(entries))
    found, place = found_in(cells_of(own), in_near, own.shape)
    shared = _part(near, found, place, near.data[found] * own.data[place], own.nnz)

    terms: Matrix = csr_array(theirs.T @ shared)
    terms.data = rounded(terms.data)
    terms.eliminate_zeros()
    terms.sort_indices()
    best = top_n(terms, np.zeros(terms.nnz), REASONS)
    of_best = entry_rows(best.indptr)
    rank = np.arange(len(of_best)) - best.indptr[of_best]
    because[of_best, rank] = own.indices[best.columns]
    return because


def _ones(some: Matrix) -> Matrix:
    """Return the same entries, each 1."""
    return csr_array((np.ones_like(some.data), some.indices, some.indptr), shape=some.shape)


def _part(near: Matrix, entries: Ints, columns: Ints, data: Floats, n_columns: int) -> Matrix:
    """Return (neighbors, n_columns) some entries of theirs, in other columns."""
    indptr = np.searchsorted(entries, near.indptr)
    return csr_array((data, columns, indptr), shape=(near.shape[0], n_columns))


__all__ = ["ENTRY", "REASONS", "Metric", "UserKnn", "UserKnnConfig", "UserKnnRanker"]

_CELLS: Final = 1 << 21
"""Users x items that are ranked at once: a mark for each of so many stays in the caches."""


class UserKnnConfig(BaseModel):
    """What a neighborhood is, and the length of a list."""

    model_config = ConfigDict(frozen=True)

    k: int = Field(default=50, gt=0, description="users in a neighborhood")
    metric: Metric = Field(
        default="unit-length",
        description="`unit-length`: distances between users' rows scaled to length 1; `raw`: "
        "between unscaled rows",
    )
    recommendations: int = Field(default=50, gt=0, description="length of a user's list")


@dataclass(frozen=True, slots=True)
class UserKnn:
    """Score of item i for user u: the mean of x_vi over the k neighbors v of u, weighted by w_uv.

    d_uv is the Euclidean distance of the users' rows x_u and x_v, in one of two metrics:

    - `unit-length`: x_v is v's row of affinities at unit length, and w_uv = 1 - d_uv^2 / 2, which
      for unit lengths is their cosine: a user who shares no item with u is at distance sqrt(2) and
      says nothing.
    - `raw`: x_v is v's row of affinities, and w_uv = 1 / (1 + d_uv). Users with few items are near
      to everyone, whether they share one or not, so that neighborhoods are full of them; in mode
      `weighted` distances are mostly those of recently active users. Use it to compare
      with a recommender that does so.

    Who has nothing is nobody's neighbor. Of users who are equally far, those of smaller rows are
    nearer.

    `because` names those of u's own items j that have the largest x_uj x sum over v of x_vj x x_vi:
    the items that u and the neighbors who have i share. With `unit-length` the score is a sum of
    these terms over j, times a factor of u's.

    Neighbors are exact: every user is compared with every other one.

    Time: the square of the users, all in `fit`, on all cores: 4 s of one core for 10,000 users with
    30 of 50,000 items each, which is how many get a list by default, and 6 s for `raw`; so some 7
    minutes for 100,000. Lists take 0.2 ms a user. Memory: that of R, 12 bytes x k a user, and some
    40 MB a core. Take it for a list of a user's own; what happened since the last training is not
    in it.

    Source: Herlocker et al., "An algorithmic framework for performing collaborative filtering",
    SIGIR 1999, with implicit affinities for ratings.
    """

    config: UserKnnConfig
    name: ClassVar[str] = "user-knn"

    def fit(self, matrix: Matrix, users: Floats | None = None) -> "UserKnnRanker":  # noqa: ARG002 (users have none)
        """Return the ranker of `matrix` = R, (n_users, n_items); a row is a user's list."""
        rows = Users.of(matrix, self.config.metric)
        found = nearest_users(rows, self.config.k)
        return UserKnnRanker(self.config, rows, found)


@dataclass(frozen=True, slots=True, eq=False)
class UserKnnRanker:
    """Ranks for each user the items of its neighbors, its own left out."""

    config: UserKnnConfig
    users: Users
    neighbors: Neighbors

    @property
    def n_rows(self) -> int:
        """One list a user."""
        return self.users.rows.shape[0]

    def rank(self, rows: Ints) -> Ranking:
        """Return the lists of some users; support is how many neighbors have an item."""
        at_once = max(_CELLS // max(self.users.rows.shape[1], 1), 1)
        starts = range(0, max(len(rows), 1), at_once)
        return joined([self._rank(rows[start : start + at_once]) for start in starts])

    def _rank(self, some: Ints) -> Ranking:
        rows = self.users.rows
        own, weights = rows[some], self._weights(some)
        scores, support = candidates(weights, rows, own)
        ranking = top_n(scores, support, self.config.recommendations)
        reasons = because(ranking, weights, rows, own)
        return Ranking(ranking.indptr, ranking.columns, ranking.scores, ranking.support, reasons)

    def _weights(self, some: Ints) -> Matrix:
        """Return W, (len(some), n_users): w_uv of the k neighbors."""
        users = self.neighbors.users[some]
        closeness = self.neighbors.closeness[some]
        known = users != NOBODY
        weights = np.zeros(users.shape)
        weights[known] = self.users.weights(closeness[known])
        lengths = np.full(len(some), users.shape[1])
        return matrix(weights.ravel(), np.where(known, users, 0).ravel(), lengths, self.n_rows)


ENTRY: Final = Entry(
    UserKnn, UserKnnConfig, of="users", ladders={"k": (10, 20, 100, 200), "metric": ("raw",)}
)
