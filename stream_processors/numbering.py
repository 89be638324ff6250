"""Small numbers for ids, so that a key of two of them fits into 64 bits."""

from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints
from stream_processors.growable import Growable

NONE: Final = -1
"""The number of an id that has none."""

# Ids below are looked up in an array, 4 bytes each; several times as fast as hashing.
_LOOKED_UP: Final = 1 << 20
_LEAST_BITS: Final = 4
# 2^64 by the golden ratio: multiplying spreads ids over the upper bits (Knuth, TAOCP 3, 6.4).
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)


class Numbering:
    """Numbers ids from 0 on, in the order in which they are added."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._ids = Growable(np.empty(0, np.int64))
        self._number_of = Growable(np.empty(0, np.int32))
        """of ids in `range(_LOOKED_UP)`"""
        self._slots = _Slots(_LEAST_BITS)
        """of the others"""

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> Ints:
        """The ids by number, (n,)."""
        return self._ids.values

    def of(self, ids: Ints) -> Ints:
        """Return the number of each id, (n,), `NONE` if it has none."""
        known = self._number_of.values
        if ids.max(initial=NONE) < len(known) and ids.min(initial=0) >= 0:
            looked_up: Ints = known[ids].astype(np.int64)
            return looked_up
        numbers = np.full(len(ids), NONE, np.int64)
        is_small = (ids >= 0) & (ids < len(known))
        numbers[is_small] = known[ids[is_small]]
        is_other = ~_is_looked_up(ids)
        numbers[is_other] = self._slots.numbers(ids[is_other], self.ids)
        return numbers

    def add(self, ids: Ints) -> None:
        """Give a number to each of distinct ids that have none."""
        numbers = np.arange(len(self), len(self) + len(ids), dtype=np.int32)
        self._ids.grow(len(ids))[:] = ids
        is_small = _is_looked_up(ids)
        more = int(ids[is_small].max(initial=NONE)) + 1 - len(self._number_of)
        if more > 0:
            self._number_of.grow(more)[:] = NONE
        self._number_of.values[ids[is_small]] = numbers[is_small]
        if not is_small.all():
            self._slots = self._slots.with_numbers(numbers[~is_small], self.ids)

    def keep(self, is_kept: npt.NDArray[np.bool_]) -> Ints:
        """Forget ids by number, (n,), except kept ones; these are renumbered in their order.

        Returns:
            The new number by the old one, (n,), `NONE` for forgotten ones.
        """
        ids = self.ids[is_kept]
        self._clear()
        self.add(ids)
        return np.where(is_kept, np.cumsum(is_kept) - 1, NONE)


class _Slots:
    """A hash table of numbers with open addressing and linear probing, at most half full."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._slots = np.full(1 << bits, NONE, np.int32)
        self._n = 0

    def numbers(self, ids: Ints, ids_by_number: Ints) -> npt.NDArray[np.int32]:
        """Return the number of each id, (n,), `NONE` if it is not in the table."""
        slot = self._first(ids)
        numbers: npt.NDArray[np.int32] = self._slots[slot]
        at = np.flatnonzero(numbers != NONE)
        while len(at := at[ids_by_number[numbers[at]] != ids[at]]):
            slot[at] = slot[at] + 1 & len(self._slots) - 1
            numbers[at] = self._slots[slot[at]]
            at = at[numbers[at] != NONE]
        return numbers

    def with_numbers(self, numbers: npt.NDArray[np.int32], ids_by_number: Ints) -> "_Slots":
        """Return the table, or a larger copy, with more numbers added."""
        n = self._n + len(numbers)
        if 2 * n > len(self._slots):
            numbers = np.append(self._slots[self._slots != NONE], numbers)
            table = _Slots((2 * n).bit_length())
        else:
            table = self
        table._put(numbers, ids_by_number[numbers])
        return table

    def _put(self, numbers: npt.NDArray[np.int32], ids: Ints) -> None:
        self._n += len(numbers)
        slot = self._first(ids)
        while len(numbers):
            is_free = self._slots[slot] == NONE
            # If several want a slot, the last one gets it.
            self._slots[slot[is_free]] = numbers[is_free]
            rest = self._slots[slot] != numbers
            numbers, slot = numbers[rest], slot[rest] + 1 & len(self._slots) - 1

    def _first(self, ids: Ints) -> Ints:
        spread = ids.view(np.uint64) * _SPREAD
        return (spread >> np.uint64(64 - self._bits)).astype(np.int64)


def _is_looked_up(ids: Ints) -> npt.NDArray[np.bool_]:
    return (ids >= 0) & (ids < _LOOKED_UP)
