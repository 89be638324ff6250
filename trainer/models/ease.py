"""EASE: what each item says about another that its other neighbors do not already say."""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import lapack
from scipy.sparse import csr_array, tril
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Indices, Matrix, entry_rows
from trainer.models.cosine import Cosine, CosineConfig, PairRanker
from trainer.models.interface import Entry, Search
from trainer.models.ranking import NEIGHBORS, Ranking, best_neighbors, joined, rounded

_BLOCK: Final = 512
"""Rows up to which a matrix is inverted at once."""


def invert(matrix: npt.NDArray[np.float64]) -> None:
    """Put the inverse of a symmetric matrix, however large, in its place.

    In quarters, by the Schur complement of the first one: half the work of a general inverse, and
    nearly all of it products. These leave the interpreter to other threads; LAPACK's inverse by
    Cholesky's decomposition does not, and the trainer's lock has to be renewed during that time.
    """
    half = len(matrix) // 2
    if len(matrix) <= _BLOCK:
        matrix[:] = np.linalg.inv(matrix)
        return
    first, across, second = matrix[:half, :half], matrix[:half, half:], matrix[half:, half:]
    invert(first)
    towards = first @ across
    second -= across.T @ towards
    invert(second)
    across[:] = -towards @ second
    matrix[half:, :half] = across.T
    first -= across @ towards.T


def lower_inverse(lower: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the inverse of a small symmetric matrix whose eigenvalues should all be above 0.

    Both have what is on the diagonal and below; what is above means nothing.

    Counts that were read while they changed may have other eigenvalues, and are inverted in general
    then.
    """
    factor, failed = lapack.dpotrf(lower, lower=1)
    if failed:
        return np.asarray(np.linalg.inv(np.tril(lower) + np.tril(lower, -1).T))
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    return np.asarray(inverse)


NORMALISED: Final = ((0, 0, 8), (0.4, 0, 20), (0.55, 0.15, 30))
"""From where `auto` sets out: alpha, beta and lambda. Plain; the user's popular items damped; near
to a cosine."""
_NEAR: Final = 0.9
_NEAR_RIDGE: Final = 100
"""Another start: alpha and beta in the ratio of the best cosine's, and this sum and lambda."""

_blas = ThreadpoolController().select(user_api="blas")
"""Its threads cost many small matrices more than they help."""
_CELLS: Final = 1 << 21
"""Items x items that are ranked at once."""
EXACT_ITEMS: Final = 6_000
"""Up to so many items the whole matrix is inverted, which takes 16 bytes times the square of their
number, 0.6 GB; beyond, each item's neighborhood is."""
NEIGHBORHOOD: Final = 200
"""Beyond `EXACT_ITEMS`: how many items, nearest by cosine, an item's weights are solved among. The
time grows with the square and more."""


class EaseConfig(BaseModel):
    """The defaults are the plain EASE, of any number of items."""

    model_config = ConfigDict(frozen=True)

    regularization: float = Field(
        default=8,
        gt=0,
        allow_inf_nan=False,
        description="lambda, in multiples of the items' mean count; the higher, the more "
        "popular the recommended items",
    )
    own_damping: float = Field(
        default=0,
        ge=0,
        le=1,
        description="alpha, the exponent of the item's own count; the higher, the less a user's"
        " popular items matter",
    )
    popularity_damping: float = Field(
        default=0,
        ge=-0.5,
        le=1,
        description="beta, the exponent of the neighbor's count; the higher, the lower popular "
        "items rank",
    )


@dataclass(frozen=True, slots=True)
class Ease:
    """Score of j in the list of i: -P_ij / P_jj x (d_j / d_i)^((alpha - beta) / 2).

    P = (A + lambda I)^-1, where A_ij = G_ij / (d_i d_j)^((alpha + beta) / 2) and d is the diagonal
    of G. With alpha = beta = 0 these are the weights of the ridge regression that predicts each
    column of R from the others: `sum_i r_ui B_ij` is what user u's items say of item j, and what
    two of them both say counts once. Weights below zero are kept: of an item's 200 largest by
    absolute value, they find what the positive ones alone do not.

    With alpha + beta = 1 and a large lambda, the scores are those of `cosine` with the same beta,
    times a constant: P is I - A / lambda then, and less. Between the two, the same ridge takes away
    what several items say together, in a space where popular items weigh less.

    Lambda is a multiple of the mean A_ii. So decaying counts, whose unit grows with time, give the
    same lists in whatever unit, and every inverse is well-conditioned.

    Beyond `exact_items`, P is that of each item i's neighborhood alone: A and the identity are cut
    down to i and the items nearest to it by cosine.

    Time: n^3 for n items, 5 s for 4,500 of them on two cores; beyond `exact_items`, an inverse of a
    neighborhood's size for each item. Memory: nearly twice the square matrix while it is inverted;
    beyond, that of a block. Try it first: of the models here it predicts best what users take next.

    Sources: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019. Normalised:
    Park et al., "Turbo-CF: matrix decomposition-free graph filtering for fast recommendation",
    SIGIR 2024, for a popularity exponent in a linear filter. The inverse of a neighborhood, one row
    of it kept, is how sparse approximate inverses are made: Benzi, "A sparse approximate inverse
    preconditioner for nonsymmetric linear systems", SIAM J. Sci. Comput. 19(3), 1998; for EASE
    compare Spišák et al., "Scalable approximate nonsymmetric autoencoder for collaborative
    filtering", RecSys 2023.
    """

    config: EaseConfig
    neighbors: int = NEIGHBORS
    """length of an item's list, at most"""
    exact_items: int = EXACT_ITEMS
    neighborhood: int = NEIGHBORHOOD
    name: ClassVar[str] = "ease"

    def fit(self, matrix: Matrix, users: Floats | None = None) -> "ExactRanker | LocalRanker":  # noqa: ARG002
        """Return the ranker of `matrix` = G, (n_items, n_items); a row is an item's neighbors."""
        own = matrix.diagonal()
        unit = own.max(initial=0) or 1.0  # a sum of counts in it is of numbers of any size
        popularity = np.where(own > 0, own / unit, 1.0)
        config = self.config
        damping = popularity ** (-(config.own_damping + config.popularity_damping) / 2)
        damping[own <= 0] = 0  # neighbor of nothing until its own count is there
        shift = popularity ** (-(config.own_damping - config.popularity_damping) / 2)
        rows = entry_rows(matrix.indptr)
        data = matrix.data / unit * damping[rows] * damping[matrix.indices]
        normalised: Matrix = csr_array((data, matrix.indices, matrix.indptr), matrix.shape)
        known = normalised.diagonal()[own > 0]
        ridge = config.regularization * float(known.mean()) if len(known) else 1.0
        if 0 < len(own) <= self.exact_items:
            return ExactRanker(self.neighbors, matrix, _weights(normalised, ridge), shift)
        nearest = Cosine(CosineConfig(), self.neighborhood).fit(matrix)
        lower: Matrix = csr_array(tril(normalised))
        return LocalRanker(self.neighbors, matrix, lower, nearest, shift, ridge)


@dataclass(frozen=True, slots=True, eq=False)
class ExactRanker:
    """Ranks the neighbors of each item, itself left out, by the weights among all items."""

    neighbors: int
    counts: Matrix
    """(n_items, n_items) G"""
    weights: npt.NDArray[np.float64]
    """(n_items, n_items) -P_ij / P_jj; 0 on the diagonal"""
    shift: Floats
    """(n_items,) d_i^(-(alpha - beta) / 2)"""

    @property
    def n_rows(self) -> int:
        """One list an item."""
        return self.counts.shape[0]

    def rank(self, rows: Ints) -> Ranking:
        """Return the lists of some items; support is G_ij."""
        at_once = max(_CELLS // max(self.n_rows, 1), 1)
        starts = range(0, max(len(rows), 1), at_once)
        return joined([self._rank(rows[start : start + at_once]) for start in starts])

    def _rank(self, rows: Ints) -> Ranking:
        scores = rounded(self.weights[rows] * self.shift[rows, None] / self.shift)
        n = min(self.neighbors, self.n_rows)
        # Some more than n: of equal ones the support decides later.
        few = min(2 * n, self.n_rows)
        columns = np.sort(np.argpartition(-np.abs(scores), few - 1, axis=1)[:, :few], axis=1)
        lengths = np.arange(len(rows) + 1) * few
        chosen = np.take_along_axis(scores, columns, axis=1)
        support = np.take_along_axis(self.counts[rows].toarray(), columns, axis=1)
        block: Matrix = csr_array(
            (support.ravel(), columns.ravel(), lengths), shape=(len(rows), self.n_rows)
        )
        return best_neighbors(block, chosen.ravel(), rows, n)


@dataclass(frozen=True, slots=True, eq=False)
class LocalRanker:
    """Ranks the neighbors of each item, itself left out, by the weights in its neighborhood."""

    neighbors: int
    counts: Matrix
    """(n_items, n_items) G"""
    lower: Matrix
    """(n_items, n_items) the lower triangle of A, which is cut out in half the time"""
    nearest: PairRanker
    """of each item's neighborhood"""
    shift: Floats
    """(n_items,) d_i^(-(alpha - beta) / 2)"""
    ridge: float
    """lambda, in the unit of A"""

    @property
    def n_rows(self) -> int:
        """One list an item."""
        return self.counts.shape[0]

    def rank(self, rows: Ints) -> Ranking:
        """Return the lists of some items; support is G_ij."""
        near = self._neighborhoods(rows)
        weights = np.zeros(near.nnz)
        with _blas.limit(limits=1):
            for i, (first, end) in zip(rows.tolist(), pairwise(near.indptr.tolist()), strict=True):
                weights[first:end] = self._weights(i, near.indices[first:end])
        i = entry_rows(near.indptr, rows)
        scores = rounded(weights * self.shift[i] / self.shift[near.indices])
        return best_neighbors(near, scores, rows, self.neighbors)

    def _neighborhoods(self, rows: Ints) -> Matrix:
        """Return (n_rows, n_items): of some rows of G what is in the items' neighborhoods."""
        nearest = self.nearest.rank(rows)
        near: Matrix = csr_array(
            (nearest.support, nearest.columns, nearest.indptr), shape=(len(nearest), self.n_rows)
        )
        near.sort_indices()
        return near

    def _weights(self, i: int, others: Indices) -> Floats:
        """Return (len(others),) -P_ij / P_jj of the items j around item i, ascending."""
        place = int(np.searchsorted(others, i))
        around = np.insert(others, place, i)
        counts = self.lower[around][:, around].toarray()
        counts[np.diag_indices_from(counts)] += self.ridge
        inverse = lower_inverse(counts)
        own = np.concatenate([inverse[place, :place], inverse[place + 1 :, place]])
        weights: Floats = -own / np.delete(inverse.diagonal(), place)
        return weights


def _weights(normalised: Matrix, ridge: float) -> npt.NDArray[np.float64]:
    """Return (n_items, n_items) -P_ij / P_jj, 0 on the diagonal."""
    weights = normalised.toarray()
    weights[np.diag_indices_from(weights)] += ridge
    invert(weights)
    weights /= -weights.diagonal()
    np.fill_diagonal(weights, 0)
    return weights


def _candidates(search: Search) -> None:
    """Try a few starting points with the counts that are best for cosines."""
    cosine = search.best_of(Cosine.name)
    counts = {name: value for name, value in cosine.items() if name.startswith("counts_")}
    dampings = cosine["cosine_own_damping"], cosine["cosine_popularity_damping"]
    weight = counts["counts_user_weight_exponent"]
    near = (*(_NEAR * damping for damping in dampings), _NEAR_RIDGE)
    for (own, neighbors, ridge), of_users in [
        *product(NORMALISED, sorted({0, weight})),
        (near, weight),
    ]:
        search.measure(
            Ease.name,
            {
                **counts,
                "counts_user_weight_exponent": of_users,
                "ease_own_damping": round(own, 4),
                "ease_popularity_damping": round(neighbors, 4),
                "ease_regularization": ridge,
            },
        )


ENTRY: Final = Entry(
    Ease,
    EaseConfig,
    of="items",
    candidates=_candidates,
    ladders={"regularization": (0.03, 0.1, 0.3, 1, 3, 8, 24, 80, 250, 800, 2_500)},
)
