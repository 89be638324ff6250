"""An array that grows at its end without a second copy in memory."""

from typing import Any

import numpy as np
import numpy.typing as npt


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
