"""How near two users are, to the last digit: what decides who is a neighbor."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.sparse import csr_array

from contracts.messages import Floats
from trainer.counts.matrices import Indices, Matrix
from trainer.models.ranking import rounded

Metric = Literal["unit-length", "raw"]
"""What the distance of two users is taken between: directions, or affinities as they are."""
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
        """Return (pairs,) a number for each pair of users, larger for a smaller distance d.

        It is 1 - d^2 / 2 for `unit-length`, the cosine, and -d^2 for `raw`; both without their
        floating noise, so that equal distances are equal.
        """
        if self.metric == "raw":
            apart = self.rows[some] - self.rows[others]
            return _without_noise(-np.asarray(apart.power(2).sum(axis=1), np.float64))
        return rounded(np.asarray((self.rows[some] * self.rows[others]).sum(axis=1), np.float64))

    def weights(self, closeness: Floats) -> Floats:
        """Return w_uv of pairs as close as that."""
        return 1 / (1 + np.sqrt(-closeness)) if self.metric == "raw" else closeness


def _at_unit_length(rows: Matrix) -> Matrix:
    """Return rows scaled to length 1; empty ones stay so."""
    # As sklearn.preprocessing.normalize does it; its import would take each trainer 2 s.
    lengths = np.sqrt(rows.power(2).sum(axis=1))
    scaled = rows.data / np.repeat(lengths, np.diff(rows.indptr))
    return csr_array((scaled, rows.indices, rows.indptr), rows.shape)


def _without_noise(numbers: Floats) -> Floats:
    """Return numbers of any size, rounded to `_SIGNIFICANT_BITS`."""
    mantissas, exponents = np.frexp(numbers)
    whole = np.rint(np.ldexp(mantissas, _SIGNIFICANT_BITS))
    shorter: Floats = np.ldexp(whole, exponents - _SIGNIFICANT_BITS)
    return shorter
