"""Runs of equal values in sorted arrays, and insertion into sorted arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints


def starts_of_runs(values: Ints) -> Ints:
    """Return where each run of equal values begins, in ascending values (n,).

    >>> starts_of_runs(np.array([3, 3, 5, 7, 7]))
    array([0, 2, 3])
    """
    is_first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)


def places_in(values: Ints, some: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return where values are or belong among distinct ones, (n,), and whether they exist.

    >>> places_in(np.array([3, 5]), np.array([4, 5, 6]))
    (array([1, 1, 2]), array([False,  True, False]))
    """
    places = np.searchsorted(values, some)
    are_there = places < len(values)
    are_there[are_there] = values[places[are_there]] == some[are_there]
    return places, are_there


class Between:
    """Insertion indices as for `np.insert`, computed once for many arrays.

    >>> Between(2, np.array([0, 1])).insert(np.array([5, 7]), np.array([4, 6]))
    array([4, 5, 6, 7])
    """

    def __init__(self, n: int, places: Ints) -> None:
        """Take the length of the arrays and, ascending, where to insert."""
        self._new = places + np.arange(len(places))
        self._is_old = np.ones(n + len(places), dtype=bool)
        self._is_old[self._new] = False

    def insert(self, values: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values, (n,), with others inserted."""
        joined = np.empty(len(self._is_old), values.dtype)
        joined[self._is_old] = values
        joined[self._new] = others
        return joined
