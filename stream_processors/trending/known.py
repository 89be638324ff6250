"""A worker's cache of counts. Pure."""

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

Bools = npt.NDArray[np.bool_]


class KnownCounts:
    """Counts by key, 16 bytes each."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def of(self, keys: Ints) -> tuple[Ints, Bools]:
        """Return the counts of keys, (n,), 0 if unknown, and which are known."""
        places, is_known = self._places(keys)
        counts = np.zeros(len(keys), np.int64)
        counts[is_known] = self._counts[places[is_known]]
        return counts, is_known

    def keep(self, keys: Ints, counts: Ints) -> None:
        """Insert the counts of distinct keys, (n,) each, by ascending key."""
        places, is_known = self._places(keys)
        self._counts[places[is_known]] = counts[is_known]
        if not is_known.all():
            self._keys = np.insert(self._keys, places[~is_known], keys[~is_known])
            self._counts = np.insert(self._counts, places[~is_known], counts[~is_known])

    def _places(self, keys: Ints) -> tuple[Ints, Bools]:
        """Return where keys are or belong, (n,), and whether they exist."""
        places = np.searchsorted(self._keys, keys)
        is_there = places < len(self._keys)
        is_there[is_there] = self._keys[places[is_there]] == keys[is_there]
        return places, is_there
