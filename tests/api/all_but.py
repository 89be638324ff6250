"""A filter of items, for tests that have no catalog."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints


class AllBut:
    """Shows all items but some."""

    def __init__(self, hidden: Collection[int]) -> None:
        self._hidden = hidden

    def __call__(self, item: int) -> bool:
        return item not in self._hidden

    def listed(self) -> Ints:
        return np.empty(0, np.int64)

    def of(self, items: Ints) -> npt.NDArray[np.bool_]:
        return np.array([self(item) for item in items.tolist()], np.bool_)
