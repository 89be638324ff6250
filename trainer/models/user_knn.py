"""User k-nearest-neighbors: what the users most like this one have, and this one has not."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array, diags_array
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Indices, Matrix, matrix
from trainer.models.ranking import Ranking, rounded, top_n

REASONS: Final = 3
"""How many of the user's own items a recommendation names in `because`, at most."""


Metric = Literal["unit-length", "raw"]
"""What the distance of two users is taken between: directions, or affinities as they are."""


class UserKnnConfig(BaseModel):
    """What a neighborhood is, and the length of a list."""

    model_config = ConfigDict(frozen=True)

    k: int = Field(default=50, gt=0, description="users in a neighborhood")
    metric: Metric = Field(
        default="unit-length",
        description="whether users' rows of affinities are scaled to length 1",
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
      `weighted` distances are those of whoever was active last. Take it to compare with a
      recommender that does so.

    Who has nothing says nothing. Where several users are equally far, scikit-learn decides who is
    the k-th.

    `because` names those of u's own items j that have the largest x_uj x sum over v of x_vj x x_vi:
    the items that u and the neighbors who have i share. With `unit-length` the score is a sum of
    these terms over j, times a factor of u's.

    Time: users x (their items + all affinities), as every user is compared with every other one.
    Memory: that of R, and of a block of distances. Take it for a list of a user's own, if the users
    are not too many; what happened since the last training is not in it.

    Source: Herlocker et al., "An algorithmic framework for performing collaborative filtering",
    SIGIR 1999, with implicit affinities for ratings.
    """

    config: UserKnnConfig
    name: ClassVar[str] = "user-knn"

    def fit(self, matrix: Matrix) -> "UserKnnRanker":
        """Return the ranker of `matrix` = R, (n_users, n_items); a row is a user's list."""
        nearest = NearestNeighbors(metric="euclidean")
        if not matrix.nnz:  # scikit-learn refuses a matrix without rows or columns
            return UserKnnRanker(self.config, matrix, nearest)
        rows = matrix if self.config.metric == "raw" else csr_array(normalize(matrix))
        return UserKnnRanker(self.config, rows, nearest.fit(rows))


@dataclass(frozen=True, slots=True, eq=False)
class UserKnnRanker:
    """Ranks for each user the items of its neighbors, its own left out."""

    config: UserKnnConfig
    rows: Matrix
    """(n_users, n_items) X: affinities, at unit length or as they are"""
    nearest: NearestNeighbors
    """fitted to `rows`"""

    @property
    def n_rows(self) -> int:
        """One list a user."""
        return self.rows.shape[0]

    def rank(self, start: int, stop: int) -> Ranking:
        """Return the lists of users `start <= u < stop`; support is how many neighbors have it."""
        own = self.rows[start:stop]
        if not own.nnz:
            return top_n(own, own.data, self.config.recommendations)
        weights = self._weights(start, stop)
        scores, support = _candidates(weights, self.rows, own)
        ranking = top_n(scores, support, self.config.recommendations)
        because = _because(ranking, weights, self.rows, own)
        return Ranking(ranking.indptr, ranking.columns, ranking.scores, ranking.support, because)

    def _weights(self, start: int, stop: int) -> Matrix:
        """Return W, (stop - start, n_users): w_uv of the k neighbors, itself and strangers at 0."""
        # A user finds itself as well, or only twins, who have nothing that it has not.
        n_neighbors = min(self.config.k + 1, self.n_rows)
        distances, users = self.nearest.kneighbors(self.rows[start:stop], n_neighbors)
        itself = users == np.arange(start, stop)[:, np.newaxis]
        length = np.diff(self.rows.indptr) > 0  # a row of zeros has none: the formula fails
        known = ~itself & length[users] & length[start:stop, np.newaxis]
        weights = np.where(known, self._weight(distances), 0)
        lengths = np.full(stop - start, n_neighbors)
        return matrix(weights.ravel(), users.ravel(), lengths, self.n_rows)

    def _weight(self, distances: Floats) -> Floats:
        """Return w_uv at each distance."""
        if self.config.metric == "raw":
            return 1 / (1 + distances)
        return rounded(1 - distances**2 / 2)


def _candidates(weights: Matrix, rows: Matrix, own: Matrix) -> tuple[Matrix, Floats]:
    """Return the score of each neighbors' item that is not the user's own, and its support."""
    total: Floats = np.asarray(weights.sum(axis=1), np.float64)
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    scores = csr_array(diags_array(scale) @ weights @ rows)
    support = csr_array(_ones(weights) @ _ones(rows))
    scores.sort_indices()
    support.sort_indices()  # the two have the same entries: no term is below zero

    data = rounded(scores.data)
    new = (data > 0) & ~np.isin(_places(scores), _places(own))
    indptr = np.concatenate([[0], np.cumsum(new)])[scores.indptr]
    return csr_array((data[new], scores.indices[new], indptr), shape=scores.shape), support.data[
        new
    ]


def _because(ranking: Ranking, weights: Matrix, rows: Matrix, own: Matrix) -> Ints:
    """Return (entries, REASONS) own items j by x_uj x sum over neighbors v of x_vj x x_vi."""
    because = np.full((len(ranking.columns), REASONS), -1, np.int64)
    place = np.full(rows.shape[1], -1, np.int64)
    for u in range(len(ranking)):
        entries = slice(ranking.indptr[u], ranking.indptr[u + 1])
        mine = slice(own.indptr[u], own.indptr[u + 1])
        neighborhood = rows[weights.indices[weights.indptr[u] : weights.indptr[u + 1]]]
        of_mine = _columns(neighborhood, own.indices[mine], place) * own.data[mine]
        terms = rounded(_columns(neighborhood, ranking.columns[entries], place).T @ of_mine)
        best = np.argsort(-terms, axis=1, kind="stable")[:, :REASONS]
        speaks = np.take_along_axis(terms, best, axis=1) > 0
        because[entries, : best.shape[1]] = np.where(speaks, own.indices[mine][best], -1)
    return because


def _columns(rows: Matrix, columns: Indices, place: Ints) -> Floats:
    """Return (n_rows, len(columns)) some columns, dense; `place` is (n_items,) of -1, as after."""
    place[columns] = np.arange(len(columns))
    found = place[rows.indices]
    place[columns] = -1
    dense = np.zeros((rows.shape[0], len(columns)))
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    dense[row[found >= 0], found[found >= 0]] = rows.data[found >= 0]
    return dense


def _ones(some: Matrix) -> Matrix:
    """Return the same entries, each 1."""
    return csr_array((np.ones_like(some.data), some.indices, some.indptr), shape=some.shape)


def _places(some: Matrix) -> Ints:
    """Return (entries,) row x n_columns + column of each entry."""
    rows = np.repeat(np.arange(some.shape[0], dtype=np.int64), np.diff(some.indptr))
    return rows * some.shape[1] + some.indices
