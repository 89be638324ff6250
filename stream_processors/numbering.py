"""Small numbers for ids, so that a key of two of them fits into 64 bits."""

from typing import Final

import numpy as np

from contracts.messages import Ints

NONE: Final = -1
"""The number of an id that has none."""

# Ids below are looked up in an array of their own, 4 bytes each; ten times as fast as searching.
_LOOKED_UP: Final = 1 << 20


class Numbering:
    """Numbers ids from 0 on, in the order in which they are added."""

    def __init__(self) -> None:
        self.ids: Ints = np.empty(0, np.int64)
        """(n,) by number"""
        self._sorted_ids = np.empty(0, np.int64)
        self._sorted_numbers = np.empty(0, np.int64)
        self._number_of = np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, ids: Ints) -> Ints:
        """Return the number of each id, (n,), `NONE` if it has none."""
        if ids.max(initial=NONE) < len(self._number_of) and ids.min(initial=0) >= 0:
            looked_up: Ints = self._number_of[ids].astype(np.int64)
            return looked_up
        if not len(self.ids):
            return np.full(len(ids), NONE, np.int64)
        place = np.searchsorted(self._sorted_ids, ids)
        place[place == len(self.ids)] = 0
        found = self._sorted_ids[place] == ids
        numbers: Ints = np.where(found, self._sorted_numbers[place], NONE)
        return numbers

    def add(self, ids: Ints) -> None:
        """Give a number to each of distinct ids that have none."""
        first = len(self)
        self.ids = np.append(self.ids, ids)
        self._sorted_numbers = np.argsort(self.ids)
        self._sorted_ids = self.ids[self._sorted_numbers]
        self._look_up(ids, np.arange(first, len(self)))

    def _look_up(self, ids: Ints, numbers: Ints) -> None:
        is_small = (ids >= 0) & (ids < _LOOKED_UP)
        more = int(ids[is_small].max(initial=NONE)) + 1 - len(self._number_of)
        if more > 0:
            self._number_of = np.append(self._number_of, np.full(more, NONE, np.int32))
        self._number_of[ids[is_small]] = numbers[is_small]
