"""Crowds of users who are alike, and who is most like a crowd.

Users are projected onto the few directions in which they differ most (a truncated singular value
decomposition), and clustered around means there (k-means). Both are learned from a sample.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from typing import Final

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd

from contracts.messages import Ints
from trainer.models.user_knn.single import Single, Singles

_SEED: Final = 0
_DIRECTIONS: Final = 32
_CROWD_LEAST: Final = 256
"""Users in a crowd on average, at least; of more than its square users, their root."""
_SAMPLE: Final = 50_000
_BATCH: Final = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class Crowds:
    """Who is in which crowd."""

    crowds: list[Ints]
    """rows of the users in each"""
    others: Ints
    """rows of the users who may be neighbors"""
    seen: Singles
    """(n_users, directions) where users stand"""
    half_squares: Singles
    """(n_users,) half of |x_v|^2 for `raw`"""

    @classmethod
    def of(cls, single: Single, users: Ints, others: Ints) -> "Crowds":
        """Return the crowds of `users`, the same ones on every run.

        Args:
            single: all users.
            users: rows of those who look for neighbors.
            others: rows of those who may be neighbors.
        """
        rows, random = single.rows, np.random.default_rng(_SEED)
        sample = np.sort(random.choice(users, min(_SAMPLE, len(users)), replace=False))
        n_directions = min(_DIRECTIONS, len(sample), rows.shape[1])
        _, _, directions = randomized_svd(rows[sample], n_directions, n_iter=2, random_state=_SEED)
        seen = np.asarray(rows @ directions.T.astype(np.float32), np.float32)
        n_crowds = max(len(users) // max(isqrt(len(users)), _CROWD_LEAST), 1)
        means = MiniBatchKMeans(
            n_crowds, init="random", n_init=1, max_iter=10, batch_size=_BATCH, random_state=_SEED
        ).fit(seen[sample])
        crowd = means.predict(seen[users])
        order = users[np.argsort(crowd, kind="stable")]
        ends = np.cumsum(np.bincount(crowd, minlength=n_crowds)).tolist()
        crowds = [order[start:stop] for start, stop in pairwise([0, *ends]) if stop > start]
        return cls(crowds, others, seen, single.half_squares.astype(np.float32))

    def most_like(self, crowd: Ints, n: int) -> Ints:
        """Return the n of `others` who are nearest to a crowd on average, nearest first."""
        likeness = (self.seen @ self.seen[crowd].mean(axis=0) - self.half_squares)[self.others]
        likely = np.argpartition(-likeness, n - 1)[:n]
        return self.others[likely[np.argsort(-likeness[likely], kind="stable")]]
