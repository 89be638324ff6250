"""Inverses of symmetric matrices. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

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
