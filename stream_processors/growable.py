"""Arrays that grow at their end."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_ROOM_AT_LEAST: Final = 8


class Growable:
    """An array, plain or structured, to which places are added in amortized constant time.

    >>> primes = Growable(np.array([2, 3]))
    >>> primes.grow(2)[:] = 5, 7
    >>> primes.values.tolist()
    [2, 3, 5, 7]
    """

    __slots__ = ("_n", "_room")

    def __init__(self, values: npt.NDArray[Any]) -> None:
        """Begin with values, which the array then owns."""
        self._room = values
        self._n = len(values)

    def __len__(self) -> int:
        return self._n

    @property
    def values(self) -> npt.NDArray[Any]:
        """The values, (n,), to read and to write; a view that is out of date after `grow`."""
        return self._room[: self._n]

    def grow(self, more: int) -> npt.NDArray[Any]:
        """Add places at the end; return them, (more,), for the caller to fill."""
        first, self._n = self._n, self._n + more
        if self._n > len(self._room):
            room = np.empty(max(_ROOM_AT_LEAST, self._n, 2 * first), self._room.dtype)
            room[:first] = self._room[:first]
            self._room = room
        return self._room[first : self._n]

    def cut(self, n: int) -> None:
        """Keep the first n values only."""
        self._n = min(n, self._n)
