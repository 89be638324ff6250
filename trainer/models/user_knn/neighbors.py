"""The nearest users of each user, among all of them.

Distances come from products of some users' rows with everybody's: |x_u - x_v|^2 is |x_u|^2 +
|x_v|^2 - 2 x_u x_v. Of long rows that are close these digits cancel out, so for `raw` those that
may be among the nearest are compared entry by entry.
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Indices, Matrix
from trainer.models.ranking import rounded

Metric = Literal["unit-length", "raw"]
"""What the distance of two users is taken between: directions, or affinities as they are."""
NOBODY: Final = -1
_CELLS: Final = 1 << 20
"""Users x users that are compared at once: 8 MB an array, of which a thread has five or so."""
_PAIRS: Final = 50_000
"""That are compared entry by entry at once."""
_ERROR: Final = 2.0**-42
"""More than a distance from products is wrong by, for one of the rows' squared lengths: a rounding
for each of 2,000 items."""
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

    def closeness(self, some: Indices, others: Indices) -> Floats:
        """Return (pairs,) -d^2 of pairs of users, without floating noise."""
        parts = [np.empty(0)]
        for start in range(0, len(some), _PAIRS):
            pairs = slice(start, start + _PAIRS)
            apart = self.rows[some[pairs]] - self.rows[others[pairs]]
            parts.append(-np.asarray(apart.power(2).sum(axis=1), np.float64))
        mantissas, exponents = np.frexp(np.concatenate(parts))
        whole = np.rint(np.ldexp(mantissas, _SIGNIFICANT_BITS))
        without_noise: Floats = np.ldexp(whole, exponents - _SIGNIFICANT_BITS)
        return without_noise

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
    """
    rows, n_users, is_raw = users.rows, users.rows.shape[0], users.metric == "raw"
    found = Neighbors(np.full((n_users, k), NOBODY, np.int32), np.full((n_users, k), -np.inf))
    members = _first_of_twins(rows, k + 1)  # who looks for neighbors may be among them
    squares = np.asarray(rows.power(2).sum(axis=1), np.float64)
    of_items: Matrix = csr_array(rows[members].T)
    at_once = max(_CELLS // max(len(members), 1), 1)

    def search(start: int) -> None:
        some = np.arange(start, min(start + at_once, n_users))
        closeness = (rows[some] @ of_items).toarray()
        if is_raw:
            lengths = squares[some, np.newaxis] + squares[members]
            closeness = 2 * closeness - lengths
            slack = lengths * _ERROR
        else:
            closeness = rounded(closeness)
            closeness[closeness <= 0] = -np.inf
            slack = np.zeros(1)
        closeness[np.diff(rows.indptr)[some] == 0] = -np.inf
        closeness[some[:, np.newaxis] == members] = -np.inf
        places, columns = _may_be_nearest(closeness, slack, k)
        exact = closeness[places, columns]
        if is_raw:
            exact = users.closeness(some[places], members[columns])
        best, rank = _best(places, columns, exact, k)
        cells = some[places[best]], rank
        found.users[cells], found.closeness[cells] = members[columns[best]], exact[best]

    # Most of the time numpy and scipy let go of the interpreter.
    with ThreadPoolExecutor(_cores()) as threads:
        for _ in threads.map(search, range(0, n_users, at_once) if len(members) else ()):
            pass
    return found


def _may_be_nearest(closeness: Floats, slack: Floats, k: int) -> tuple[Ints, Ints]:
    """Return the row and the column of all that may be among the k closest of their row.

    Args:
        closeness: (n, n_members), -inf for who is no neighbor.
        slack: how far from the truth each may be.
        k: how many are wanted.
    """
    k = min(k, closeness.shape[1])
    least = np.partition(closeness - slack, -k, axis=1)[:, [-k]]
    places, columns = np.nonzero((closeness + slack >= least) & (closeness > -np.inf))
    return places, columns


def _best(places: Ints, columns: Ints, closeness: Floats, k: int) -> tuple[Ints, Ints]:
    """Return the k closest of each place, equally close ones by column, and their ranks."""
    order = np.lexsort((columns, -closeness, places))
    rank = np.arange(len(order)) - np.searchsorted(places[order], places[order])
    return order[rank < k], rank[rank < k]


def _first_of_twins(rows: Matrix, n: int) -> Ints:
    """Return the users who have something, but only the first n of those with equal rows.

    If n is k + 1, a user with k neighbors among them has no nearer ones among the rest, nor equally
    near ones of smaller rows. Many users may have one popular item and nothing else.
    """
    twins: Counter[tuple[bytes, bytes]] = Counter()
    first = []
    for user, (start, stop) in enumerate(pairwise(rows.indptr.tolist())):
        row = (rows.indices[start:stop].tobytes(), rows.data[start:stop].tobytes())
        twins[row] += 1
        if stop > start and twins[row] <= n:
            first.append(user)
    return np.array(first, np.int64)


def _at_unit_length(rows: Matrix) -> Matrix:
    """Return rows scaled to length 1; empty ones stay so."""
    # As sklearn.preprocessing.normalize does it; its import would take each trainer 2 s.
    lengths = np.sqrt(rows.power(2).sum(axis=1))
    scaled = rows.data / np.repeat(lengths, np.diff(rows.indptr))
    return csr_array((scaled, rows.indices, rows.indptr), rows.shape)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
