"""The counts of one partition in memory: a cache of the rows of G that Redis holds.

A count G[i, j] has the key `number of i << 32 | number of j`. Keys are kept sorted, so that all
changes of a flush are found, added and inserted by NumPy at once: 16 bytes a count.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.messages import Floats, Ints
from stream_processors.cooccurrences.fold import MarkedRows
from stream_processors.marks import NOTHING
from stream_processors.numbering import NONE, Numbering

_BITS: Final = 32
_MASK: Final = (1 << _BITS) - 1
_UNREAD: Final = NOTHING - 1


@dataclass(frozen=True, slots=True)
class Summed:
    """Changes to distinct counts, columns of one length n by rising key; m rows of G."""

    key: Ints
    delta: Floats
    first: Ints
    """(m,) where the counts of each row begin"""
    number: Ints
    """(m,) of each row's item"""
    mark: Ints
    """(m,) of the last message in each row"""

    def __len__(self) -> int:
        return len(self.key)


class CountTable:
    """Counts by key, and of each item whose row was touched the mark that Redis has in it."""

    def __init__(self, counts_at_most: int) -> None:
        self._counts_at_most = counts_at_most
        self._numbering = Numbering()
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.float64)
        # By number.
        self._mark = np.empty(0, np.int64)
        self._is_whole = np.empty(0, dtype=bool)
        self._touched = np.empty(0, np.int64)
        self._adds = 0

    def __len__(self) -> int:
        return len(self._keys)

    def unread(self, items: Ints) -> Ints:
        """Return the items, (k,) distinct, whose marks must be given to `learn`."""
        distinct = np.unique(items)
        unread: Ints = distinct[self.marks(distinct) == _UNREAD]
        return unread

    def learn(self, items: Ints, marks: Ints) -> None:
        """Take in the marks that Redis has in rows, (n,) each, `NOTHING` where it has no row."""
        numbers = self._numbers(items)
        self._mark[numbers] = marks
        # What memory lacks of a row that was not there before is 0, until some of it is evicted.
        self._is_whole[numbers] = marks == NOTHING

    def marks(self, items: Ints) -> Ints:
        """Return the mark of each item's row, (n,)."""
        numbers = self._numbers(items)
        marks: Ints = self._mark[numbers]
        return marks

    def sum(self, rows: MarkedRows) -> Summed:
        """Return the changes added up by the count that they change."""
        key = self._numbers(rows.i) << _BITS | self._numbers(rows.j)
        order = np.argsort(key, kind="stable")
        key = key[order]
        first_of_key = np.flatnonzero(np.diff(key, prepend=-1))
        first_of_item = np.flatnonzero(np.diff(key >> _BITS, prepend=-1))
        distinct = key[first_of_key]
        return Summed(
            key=distinct,
            delta=_reduced(np.add, rows.delta[order], first_of_key),
            first=np.flatnonzero(np.diff(distinct >> _BITS, prepend=-1)),
            number=key[first_of_item] >> _BITS,
            mark=_reduced(np.maximum, rows.at[order], first_of_item),
        )

    def missing(self, summed: Summed) -> Ints:
        """Return the keys whose counts must be given to `insert` before `add`, rising."""
        _, is_known = self._places(summed.key)
        missing: Ints = summed.key[~is_known & ~self._is_whole[summed.key >> _BITS]]
        return missing

    def insert(self, keys: Ints, counts: Floats) -> None:
        """Take in counts, (n,) by rising key, that memory lacks."""
        places, _ = self._places(keys)
        self._keys = np.insert(self._keys, places, keys)
        self._counts = np.insert(self._counts, places, counts)

    def add(self, summed: Summed) -> Floats:
        """Add to counts, of which none is missing; return them, (n,)."""
        places, is_known = self._places(summed.key)
        if not is_known.all():
            new = summed.key[~is_known]
            self.insert(new, np.zeros(len(new)))
            places, _ = self._places(summed.key)
        self._counts[places] += summed.delta
        self._mark[summed.number] = summed.mark
        self._adds += 1
        self._touched[summed.number] = self._adds
        counts: Floats = self._counts[places]
        return counts

    def evict(self) -> None:
        """Forget the rows that were touched longest ago, when there are too many counts."""
        if len(self) <= self._counts_at_most:
            return
        touched = self._touched[self._keys >> _BITS]
        half = len(self) - self._counts_at_most // 2
        kept = touched > np.partition(touched, half - 1)[half - 1]
        self._is_whole[self._keys[~kept] >> _BITS] = False
        self._keys, self._counts = self._keys[kept], self._counts[kept]

    def items(self, numbers: Ints) -> Ints:
        """Return the items of numbers, (n,)."""
        ids: Ints = self._numbering.ids[numbers]
        return ids

    def item_and_other(self, keys: Ints) -> tuple[Ints, Ints]:
        """Return i and j of the keys of G[i, j], (n,) each."""
        return self.items(keys >> _BITS), self.items(keys & _MASK)

    def _numbers(self, items: Ints) -> Ints:
        """Return the number of each item, (n,); new ones get one."""
        numbers = self._numbering.of(items)
        is_new = numbers == NONE
        if is_new.any():
            new = np.unique(items[is_new])
            self._numbering.add(new)
            self._mark = np.append(self._mark, np.full(len(new), _UNREAD))
            self._is_whole = np.append(self._is_whole, np.zeros(len(new), dtype=bool))
            self._touched = np.append(self._touched, np.zeros(len(new), np.int64))
            numbers = self._numbering.of(items)
        return numbers

    def _places(self, keys: Ints) -> tuple[Ints, "np.typing.NDArray[np.bool_]"]:
        """Return where keys, (n,), are or belong, and whether they are there."""
        places = np.searchsorted(self._keys, keys)
        is_there = places < len(self._keys)
        is_there[is_there] = self._keys[places[is_there]] == keys[is_there]
        return places, is_there


def _reduced(add: "np.ufunc", values: "np.typing.NDArray[np.generic]", first: Ints) -> "np.ndarray":
    """Return what runs of values, each from its first place on, come to."""
    return add.reduceat(values, first) if len(first) else values[:0]
