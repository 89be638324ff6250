"""Arrays that grow at their end."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_ROOM_AT_LEAST: Final = 8


class Growable:
    """An array, plain or structured, that grows in amortized constant time.

    >>> primes = Growable(np.array([2, 3]))
    >>> primes.grow(2)[:] = 5, 7
    >>> primes.values.tolist()
    [2, 3, 5, 7]
    """

    __slots__ = ("n", "room")

    def __init__(self, values: npt.NDArray[Any]) -> None:
        """Start with values, which the array then owns."""
        self.room = values
        """the values and spare capacity; replaced when too small"""
        self.n = len(values)
        """the number of values"""

    def __len__(self) -> int:
        return self.n

    @property
    def values(self) -> npt.NDArray[Any]:
        """The values, (n,), readable and writable; a view that is invalid after `grow`."""
        return self.room[: self.n]

    def grow(self, more: int) -> npt.NDArray[Any]:
        """Add places at the end; return them, (more,), for the caller to fill."""
        first, self.n = self.n, self.n + more
        if self.n > len(self.room):
            room = np.empty(max(_ROOM_AT_LEAST, self.n, 2 * first), self.room.dtype)
            room[:first] = self.room[:first]
            self.room = room
        return self.room[first : self.n]

    def keep(self, is_kept: npt.NDArray[np.bool_]) -> None:
        """Keep some of the values, (n,), without spare capacity."""
        self.room = self.values[is_kept]
        self.n = len(self.room)

    def cut(self, n: int) -> None:
        """Keep the first n values only."""
        self.n = min(n, self.n)
