"""Locates the rows of the Gram matrix, and instruments in their topics."""

from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints
from contracts.partitioning import instrument_partitions
from stream_processors.growable import Growable
from stream_processors.numbering import NONE, Numbering

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
        numbers = self._numbering.of(items)
        if numbers.min(initial=0) == NONE:
            new = np.unique(items[numbers == NONE])
            if len(self._numbering) + len(new) > _ITEMS_AT_MOST:
                self._clear()
                new = np.unique(items)
            self._numbering.add(new)
            self._partition.grow(len(new))[:] = instrument_partitions(new, self.n)
            numbers = self._numbering.of(items)
        partition: npt.NDArray[np.int16] = self._partition.values[numbers]
        return partition

    def _clear(self) -> None:
        self._numbering = Numbering()
        self._partition = Growable(np.empty(0, np.int16))
