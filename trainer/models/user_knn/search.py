"""The neighbors of all users: among everyone, or among those who are likely to be near.

Users are searched for in batches on all cores, as most of the time numpy and scipy let go of the
interpreter.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from contracts.messages import Floats, Ints
from trainer.models.user_knn.best import NOBODY, Best
from trainer.models.user_knn.champions import Champions
from trainer.models.user_knn.closeness import Users
from trainer.models.user_knn.pool import Pool
from trainer.models.user_knn.single import Single
from trainer.models.user_knn.twins import first_of_twins

_QUERIES: Final = 256
"""Users who look for neighbors at a time: what is computed for them stays in the caches."""
_blas = ThreadpoolController()


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """The nearest users of each user, itself not among them."""

    users: npt.NDArray[np.int32]
    """(n_users, k) rows, nearest first; NOBODY after the last"""
    closeness: Floats
    """(n_users, k) as in `Users.closeness`; -inf for NOBODY"""

    def keep(self, best: Best) -> None:
        """Take over the neighbors of some users."""
        self.users[best.queries], self.closeness[best.queries] = best.found()


def neighbors(users: Users, k: int, max_pairs: int) -> Neighbors:
    """Return the k nearest users of each.

    With more than `max_pairs` pairs of users, each is compared with `max_pairs` / n_users others,
    and with champions of its strong items; the rest is not looked at.
    """
    n_users = users.rows.shape[0]
    found = Neighbors(np.full((n_users, k), NOBODY, np.int32), np.full((n_users, k), -np.inf))
    someone = np.flatnonzero(np.diff(users.rows.indptr))
    if not len(someone):
        return found
    others = first_of_twins(users.rows, k + 1)  # who looks for neighbors may be among them
    single = Single.of(users)
    size = max(max_pairs // len(someone), k + 1)
    with _blas.limit(limits=1):
        if size >= len(others):
            _among_all(single, someone, others, k, found)
        else:
            _among_likely(single, someone, others, k, size, found)
    return found


def _among_all(single: Single, someone: Ints, others: Ints, k: int, found: Neighbors) -> None:
    nearest_first = np.argsort(single.half_squares[others], kind="stable")
    pool = Pool(single, others[nearest_first])

    def search(queries: Ints) -> None:
        best = Best(single.users, queries, k)
        pool.offer(best)
        found.keep(best)

    _on_all_cores(search, _batches(someone))


def _among_likely(
    single: Single, someone: Ints, others: Ints, k: int, size: int, found: Neighbors
) -> None:
    # It imports scikit-learn, which takes 2 s that few need.
    from trainer.models.user_knn.crowds import Crowds

    crowds, champions = Crowds.of(single, someone, others), Champions.of(single, others)

    def search(crowd: Ints) -> None:
        likely = crowds.most_like(crowd, size)
        known = np.zeros(single.rows.shape[0], np.bool_)
        known[likely] = True
        pool = Pool(single, likely)
        for queries in _batches(crowd):
            best = Best(single.users, queries, k)
            pool.offer(best)
            if not single.is_raw:  # there short rows are near, whatever is in them
                champions.offer(best, known)
            found.keep(best)

    _on_all_cores(search, crowds.crowds)


def _batches(users: Ints) -> list[Ints]:
    return [users[start : start + _QUERIES] for start in range(0, len(users), _QUERIES)]


def _on_all_cores(work: Callable[[Ints], None], parts: list[Ints]) -> None:
    with ThreadPoolExecutor(_cores()) as threads:
        for _ in threads.map(work, parts):
            pass


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
