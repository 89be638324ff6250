"""Users in single precision, in which most pairs are compared, and how wrong that may be."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from contracts.messages import Floats
from trainer.counts.matrices import Indices, Matrix
from trainer.models.user_knn.closeness import Users

Singles = npt.NDArray[np.float32]
SingleRows = csr_array[np.float32, tuple[int, int]]
"""CSR of float32."""

_ROUNDING: Final = 2.0**-23
"""Twice what rounding a product or a sum to single precision adds, relatively."""
_MORE_ROUNDINGS: Final = 8
"""Of the factors, of what is added to a product, and of what it is compared with."""
_UNDERFLOW: Final = 1e-30
"""More than what is lost of products of numbers too small for single precision."""
_LEAST: Final = float(np.finfo(np.float32).tiny)
"""The product of users who share something, unless their closeness is 0 in all its decimals."""


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """All users' rows, and what makes of the product of two rows a bound of their closeness.

    User v is as near to u as x_u x_v - |x_v|^2 / 2 is large. The product is wrong by epsilon
    |x_u| |x_v| at most, epsilon being a rounding for each item that the two share. For
    `unit-length` all lengths are 1, so that the product alone will do.
    """

    users: Users
    rows: SingleRows
    """(n_users, n_items) X / unit"""
    unit: float
    """in which no number is too large"""
    lengths: Floats
    """(n_users,) |x_v| / unit"""
    epsilon: float

    @classmethod
    def of(cls, users: Users) -> "Single":
        """Return `users`, of whom one has something, in single precision."""
        rows = users.rows
        unit = float(rows.data.max()) if users.metric == "raw" else 1.0
        data = rows.data / unit
        single: SingleRows = csr_array(
            (data.astype(np.float32), rows.indices, rows.indptr), shape=rows.shape
        )
        squares: Matrix = csr_array((data**2, rows.indices, rows.indptr), shape=rows.shape)
        lengths = np.sqrt(np.asarray(squares.sum(axis=1), np.float64))
        roundings = int(np.diff(rows.indptr).max()) + _MORE_ROUNDINGS
        return cls(users, single, unit, lengths, _ROUNDING * roundings)

    @property
    def is_raw(self) -> bool:
        """Whether a longer row is further away."""
        return self.users.metric == "raw"

    @property
    def half_squares(self) -> Floats:
        """(n_users,) |x_v|^2 / 2 / unit^2 for `raw`, and 0 for `unit-length`."""
        return self.lengths**2 / 2 if self.is_raw else np.zeros_like(self.lengths)

    def query_extension(self, users: Indices) -> Singles:
        """Return (users, 0 or 2) what the rows of who looks for neighbors are extended by."""
        lengths = self.lengths[users]
        return self._if_raw(lengths, np.ones_like(lengths))

    def member_extension(self, users: Indices) -> Singles:
        """Return (users, 0 or 2) what the rows of who may be a neighbor are extended by."""
        lengths = self.lengths[users]
        return self._if_raw(self.epsilon * lengths, (self.epsilon - 1) * lengths**2 / 2)

    def least(self, queries: Indices, closeness: Floats) -> Singles:
        """Return (queries, 1) how large a bound is, at least, if the pair is as close as that."""
        squares = self.lengths[queries] ** 2
        if self.is_raw:
            least = (squares + closeness / self.unit / self.unit) / 2 - self.epsilon * squares
            least -= _UNDERFLOW
        else:  # a product is 0 without any error if nothing is shared
            least = np.maximum(closeness - self.epsilon, _LEAST)
        return least.astype(np.float32)[:, np.newaxis]

    def _if_raw(self, *columns: Floats) -> Singles:
        kept = columns if self.is_raw else ()
        stacked = np.stack(kept, axis=1) if kept else np.empty((len(columns[0]), 0))
        return stacked.astype(np.float32)
