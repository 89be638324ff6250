"""Locates the rows of the Gram matrix, and instruments in their topics."""

from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints
from contracts.partitioning import instrument_partitions
from stream_processors.ids import Growable, IdIndex

# Some 20 bytes each. Above this, the cache starts empty again.
_ITEMS_AT_MOST: Final = 500_000


class ItemPartitions:
    """A cache of the partitions that items, or instruments, belong to."""

    def __init__(self, n: int) -> None:
        """Take the number of partitions."""
        self.n = n
        self._clear()

    def of(self, items: Ints) -> npt.NDArray[np.int16]:
        """Return the partition of each item, (n,): 16 bits, which NumPy sorts fastest."""
        if len(self._index) > _ITEMS_AT_MOST:
            self._clear()
        rows = self._index.add_unknown(items)
        if more := len(self._index) - len(self._partition):
            new = self._index.ids[-more:]
            self._partition.grow(more)[:] = instrument_partitions(new, self.n)
        partition: npt.NDArray[np.int16] = self._partition.values[rows]
        return partition

    def _clear(self) -> None:
        self._index = IdIndex()
        self._partition = Growable(np.empty(0, np.int16))
