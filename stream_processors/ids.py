"""Rows for ids that clients choose: found, added and forgotten by NumPy, in arrays that grow.

Nobody can choose ids that take longer than others. Small ones are places in an array; the rows of
the others are in a hash table whose hash is random in each process, and which grows a few slots at
a time, so that no batch waits for all of it. Distinct values are found by sorting, as `np.unique`
hashes in the same way everywhere.
"""

import os
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

NONE: Final = -1
"""The row of an id that has none."""

_ROOM_AT_LEAST: Final = 8
# An array of 2 MB, of which only pages in use take memory; several times as fast as hashing.
_SMALL: Final = 1 << 19
_SLOTS_AT_LEAST: Final = 1 << 10
# Per added id: half of a table's size until it has moved, and the next one takes three times that.
_SLOTS_MOVED: Final = 2
# A secret of this process: to be added to an id, and odd factors.
_SECRETS: Final = np.frombuffer(os.urandom(4 * 8), np.uint64) | np.uint64(1)
_HALF: Final = np.uint64(32)

Rows32 = npt.NDArray[np.int32]


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


class IdIndex:
    """Rows of distinct ids, from 0 on.

    >>> index = IdIndex()
    >>> index.add_unknown(np.array([7, 1 << 40, 7])).tolist(), index.rows(np.array([8, 7])).tolist()
    ([0, 1, 0], [-1, 0])
    """

    def __init__(self) -> None:
        self._ids = Growable(np.empty(0, np.int64))
        self._small = np.empty(0, np.int32)
        """by id, the row + 1, 0 for none; empty until there is a small id"""
        self._slots = np.zeros(_SLOTS_AT_LEAST, np.int32)
        """the row + 1 of other ids, 0 in free slots, of which there are at least half"""
        self._hashed = 0
        """the number of other ids"""
        self._before = np.empty(0, np.int32)
        """the slots until the last growth, while some rows are found only there"""
        self._moved = 0
        """how many of these are moved"""

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> Ints:
        """The ids by row, (n,)."""
        return self._ids.values

    def rows(self, ids: Ints) -> Ints:
        """Return the row of each id, (n,), `NONE` if it has none."""
        unsigned = ids.view(np.uint64)
        if unsigned.max(initial=0) < len(self._small):
            return np.subtract(self._small.take(ids), 1, dtype=np.int64)
        rows = np.full(len(ids), NONE, np.int64)
        is_small = unsigned < _SMALL
        if len(self._small):
            rows[is_small] = self._small[ids[is_small]] - 1
        at = np.flatnonzero(~is_small)
        rows[at] = self._found(self._slots, ids[at])
        if len(self._before):
            at = at[rows[at] == NONE]
            rows[at] = self._found(self._before, ids[at])
        return rows

    def add_unknown(self, ids: Ints) -> Ints:
        """Return the row of each id, (n,); add those that have none, in ascending order."""
        rows = self.rows(ids)
        at = np.flatnonzero(rows == NONE)
        if len(at):
            self.add(distinct(ids[at]))
            rows[at] = self.rows(ids[at])
        return rows

    def add(self, ids: Ints) -> None:
        """Give distinct ids that have no row the next ones, in their order."""
        rows = np.arange(len(self), len(self) + len(ids), dtype=np.int32)
        self._ids.grow(len(ids))[:] = ids
        is_small = ids.view(np.uint64) < _SMALL
        if is_small.any():
            if not len(self._small):
                self._small = np.zeros(_SMALL, np.int32)
            self._small[ids[is_small]] = rows[is_small] + 1
        if not is_small.all():
            self._hash(rows[~is_small])

    def keep(self, is_kept: npt.NDArray[np.bool_]) -> Ints:
        """Forget ids by row, (n,), except kept ones, whose rows move up in their order.

        Returns:
            The new row by the old one, (n,), `NONE` for forgotten ids.
        """
        ids = self.ids[is_kept]
        self.__init__()  # type: ignore[misc]
        self.add(ids)
        return np.where(is_kept, np.cumsum(is_kept) - 1, NONE)

    def _hash(self, rows: Rows32) -> None:
        """Add rows to the slots, and move some that are only in those before."""
        self._hashed += len(rows)
        if 2 * self._hashed > len(self._slots):
            self._move(len(self._before))
            self._before, self._moved = self._slots, 0
            self._slots = np.zeros(1 << (4 * self._hashed).bit_length(), np.int32)
        self._put(rows)
        self._move(_SLOTS_MOVED * len(rows))

    def _move(self, n: int) -> None:
        """Add the rows of the next n slots before to the slots."""
        first, self._moved = self._moved, self._moved + n
        values = self._before[first : self._moved]
        self._put(values[values > 0] - 1)
        if self._moved >= len(self._before):
            self._before = self._before[:0].copy()

    def _found(self, slots: Rows32, ids: Ints) -> Rows32:
        """Return the row of each id in slots, (n,), `NONE` if it is not there."""
        slot = _first_slot(ids, slots)
        rows: Rows32 = slots[slot] - 1
        at = np.flatnonzero(rows >= 0)
        while len(at := at[self.ids[rows[at]] != ids[at]]):
            slot[at] = slot[at] + 1 & len(slots) - 1
            rows[at] = slots[slot[at]] - 1
            at = at[rows[at] >= 0]
        return rows

    def _put(self, rows: Rows32) -> None:
        slots, values = self._slots, rows + 1
        slot = _first_slot(self.ids[rows], slots)
        while len(values):
            is_free = slots[slot] == 0
            # If several want a slot, the last one gets it.
            slots[slot[is_free]] = values[is_free]
            rest = slots[slot] != values
            values, slot = values[rest], slot[rest] + 1 & len(slots) - 1


def _first_slot(ids: Ints, slots: Rows32) -> Ints:
    """Return where each id is looked for first, (n,)."""
    # Each factor spreads upwards, each shift spreads what came up; the last factor's upper bits are
    # used. With a known or with fewer factors, some sets of ids would share their slots.
    mixed: npt.NDArray[np.uint64] = ids.view(np.uint64) ^ _SECRETS[0]
    for factor in _SECRETS[1:-1]:
        mixed *= factor
        mixed ^= mixed >> _HALF
    mixed *= _SECRETS[-1]
    mixed >>= np.uint64(65 - len(slots).bit_length())
    return mixed.view(np.int64)


def starts_of_runs(values: Ints) -> Ints:
    """Return where each run of equal values begins, in ascending values (n,).

    >>> starts_of_runs(np.array([3, 3, 5, 7, 7]))
    array([0, 2, 3])
    """
    is_first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)


def distinct(values: Ints) -> Ints:
    """Return the distinct ones of values, (n,) in any order, ascending.

    >>> distinct(np.array([7, 3, 7]))
    array([3, 7])
    """
    ascending = np.sort(values)
    return ascending[starts_of_runs(ascending)]
