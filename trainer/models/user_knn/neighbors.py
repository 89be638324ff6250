"""The nearest users of each user, among all of them.

Distances come from products of some users' rows with everybody's: |x_u - x_v|^2 is |x_u|^2 +
|x_v|^2 - 2 x_u x_v. The products are sparse, what is made of them is dense, some users at a time.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from contracts.messages import Floats
from trainer.counts.matrices import Matrix
from trainer.models.ranking import rounded

Metric = Literal["unit-length", "raw"]
"""What the distance of two users is taken between: directions, or affinities as they are."""
NOBODY: Final = -1
_CELLS: Final = 1 << 20
"""Users x users that are compared at once: 8 MB an array, of which a thread has five or so."""
_SIGNIFICANT_BITS: Final = 40
"""Of 53: twelve digits."""


@dataclass(frozen=True, slots=True, eq=False)
class Users:
    """The rows x_u that distances are taken between."""

    rows: Matrix
    """(n_users, n_items) X: affinities, at unit length or as they are"""
    metric: Metric

    @classmethod
    def of(cls, affinities: Matrix, metric: Metric) -> "Users":
        """Return the users of R, (n_users, n_items)."""
        return cls(affinities if metric == "raw" else _at_unit_length(affinities), metric)

    def weights(self, closeness: Floats) -> Floats:
        """Return w_uv of pairs as close as that."""
        return 1 / (1 + np.sqrt(-closeness)) if self.metric == "raw" else closeness


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """The nearest users of each user, itself not among them."""

    users: npt.NDArray[np.int32]
    """(n_users, k) rows, nearest first, equally near ones by smaller row; NOBODY after the last"""
    closeness: Floats
    """(n_users, k) larger for a smaller distance d: 1 - d^2 / 2, the cosine, for `unit-length`, and
    -d^2 for `raw`; -inf for NOBODY"""


def nearest_users(users: Users, k: int) -> Neighbors:
    """Return the k nearest users of each.

    Who has nothing is nobody's neighbor and has none; nor has `unit-length` any who share nothing.
    Closeness is without its floating noise, so that equal distances are equal: for `raw` twelve
    digits of it, or of the squared length of the user's row if that is longer.
    """
    n_users = users.rows.shape[0]
    found = Neighbors(np.full((n_users, k), NOBODY, np.int32), np.full((n_users, k), -np.inf))
    at_once = max(_CELLS // max(n_users, 1), 1)
    nobody = np.diff(users.rows.indptr) == 0
    of_items: Matrix = csr_array(users.rows.T)
    squares = np.asarray(users.rows.power(2).sum(axis=1), np.float64)

    def search(start: int) -> None:
        some = slice(start, start + at_once)
        closeness = (users.rows[some] @ of_items).toarray()
        if users.metric == "raw":
            closeness = _minus_squared_distances(closeness, squares[some, np.newaxis], squares)
        else:
            closeness = rounded(closeness)
            closeness[closeness <= 0] = -np.inf
        closeness[nobody[some]] = closeness[:, nobody] = -np.inf
        np.fill_diagonal(closeness[:, start:], -np.inf)
        _keep_nearest(closeness, found.users[some], found.closeness[some])

    # Most of the time numpy and scipy let go of the interpreter.
    with ThreadPoolExecutor(_cores()) as threads:
        for _ in threads.map(search, range(0, n_users, at_once)):
            pass
    return found


def _minus_squared_distances(products: Floats, of_some: Floats, of_all: Floats) -> Floats:
    """Return -d^2 without floating noise, from products and squared lengths of rows."""
    negative = np.minimum(2 * products - of_some - of_all, 0)
    exponents = np.maximum(np.frexp(negative)[1], np.frexp(of_some)[1]) - _SIGNIFICANT_BITS
    without_noise: Floats = np.ldexp(np.rint(np.ldexp(negative, -exponents)), exponents)
    return without_noise


def _keep_nearest(closeness: Floats, users: npt.NDArray[np.int32], kept: Floats) -> None:
    """Put the closest of each row of (n, n_users), and how close they are, into (n, k)."""
    k = min(users.shape[1], closeness.shape[1])
    kth = np.partition(closeness, -k, axis=1)[:, [-k]]
    closer, tied = closeness > kth, (closeness == kth) & (kth > -np.inf)
    room = k - closer.sum(axis=1, keepdims=True)
    rows, others = np.nonzero(closer | (tied & (np.cumsum(tied, axis=1) <= room)))
    found = closeness[rows, others]
    order = np.lexsort((others, -found, rows))
    rows, others, found = rows[order], others[order], found[order]
    places = np.arange(len(rows)) - np.searchsorted(rows, rows)
    users[rows, places], kept[rows, places] = others, found


def _at_unit_length(rows: Matrix) -> Matrix:
    """Return rows scaled to length 1; empty ones stay so."""
    # As sklearn.preprocessing.normalize does it; its import would take each trainer 2 s.
    lengths = np.sqrt(rows.power(2).sum(axis=1))
    scaled = rows.data / np.repeat(lengths, np.diff(rows.indptr))
    return csr_array((scaled, rows.indices, rows.indptr), rows.shape)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
