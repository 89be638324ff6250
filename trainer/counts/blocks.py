"""Long work in blocks of bounded size, and arrays that grow by them."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints


def blocks(sizes: Ints, budget: int) -> list[tuple[int, int]]:
    """Return consecutive `(start, stop)`, stop exclusive, that cover all rows in order.

    Args:
        sizes: (n_rows,) what each row costs.
        budget: what a block's rows cost at most together, unless it is a single row.

    >>> blocks(np.array([2, 2, 9, 1]), 4)
    [(0, 2), (2, 3), (3, 4)]
    """
    ends = np.cumsum(sizes)
    cuts = [0]
    while cuts[-1] < len(sizes):
        start = cuts[-1]
        before = int(ends[start - 1]) if start else 0
        fits = int(np.searchsorted(ends, before + budget, side="right"))
        cuts.append(max(fits, start + 1))
    return list(pairwise(cuts))


class Growing:
    """A growing array of one type.

    >>> numbers = Growing(np.int64)
    >>> numbers.extend(np.arange(3))
    >>> numbers.extend(np.arange(2))
    >>> numbers.whole().tolist()
    [0, 1, 2, 0, 1]
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._values = np.empty(0, dtype)
        self._used = 0

    def extend(self, values: npt.NDArray[Any]) -> None:
        """Append values, cast to the array's type."""
        stop = self._used + len(values)
        if stop > len(self._values):
            # The kernel moves pages of a large array instead of copying them.
            self._values.resize(stop + stop // 8, refcheck=False)
        self._values[self._used : stop] = values
        self._used = stop

    def so_far(self) -> npt.NDArray[Any]:
        """Return a view of the values so far; it is invalid after the next `extend`."""
        return self._values[: self._used]

    def whole(self) -> npt.NDArray[Any]:
        """Return all values; nothing may be appended afterwards."""
        self._values.resize(self._used, refcheck=False)
        return self._values
