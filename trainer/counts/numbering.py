"""Numbers ids in order of appearance, 4 bytes each, and maps them to sorted places."""

import numpy as np

from contracts.messages import Ints
from trainer.counts.matrices import Indices


class Numbering:
    """Ids by number.

    >>> numbering = Numbering()
    >>> numbering.of(np.array([7, 9])).tolist(), numbering.of(np.array([3, 9])).tolist()
    ([0, 1], [2, 1])
    >>> numbering.ids.tolist(), numbering.places().tolist()
    ([3, 7, 9], [1, 2, 0])
    """

    def __init__(self) -> None:
        self.ids: Ints = np.empty(0, np.int64)
        """(n_ids,) all that turned up, ascending"""
        self._numbers: Indices = np.empty(0, np.int32)

    def of(self, ids: Ints) -> Indices:
        """Return the number of each of some ids that are ascending and distinct."""
        places = np.searchsorted(self.ids, ids)
        new = np.append(self.ids, -1)[places] != ids
        numbers = np.arange(len(self.ids), len(self.ids) + int(new.sum()), dtype=np.int32)
        self.ids = np.insert(self.ids, places[new], ids[new])
        self._numbers = np.insert(self._numbers, places[new], numbers)
        found: Indices = self._numbers[np.searchsorted(self.ids, ids)]
        return found

    def places(self) -> Indices:
        """Return (n_ids,) number -> place in `ids`."""
        places = np.empty(len(self.ids), np.int32)
        places[self._numbers] = np.arange(len(self.ids), dtype=np.int32)
        return places
