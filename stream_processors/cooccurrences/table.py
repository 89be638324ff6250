"""The counts of one partition in memory: a cache of the rows of G that Redis holds. Pure.

A count G[i, j] has the key `number of i << 32 | number of j`. Keys are kept sorted, so that all
changes of a flush are found, added and inserted by NumPy at once: 16 bytes a count.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.columns import integers
from contracts.log_position import NOTHING
from contracts.messages import Floats, Ints
from stream_processors.cooccurrences.sums import Sums, places_in
from stream_processors.ids import Growable, IdIndex, distinct, starts_of_runs

Bools = npt.NDArray[np.bool_]

_BITS: Final = 32
_MASK: Final = (1 << _BITS) - 1
_ROW: Final = np.dtype(
    [
        ("mark", np.int64),
        ("touched", np.int64),
        ("holders", np.int64),
        ("written_holders", np.int64),
        ("is_read", "?"),
        ("is_whole", "?"),
        ("is_listed", "?"),
    ]
)
UNKNOWN: Final = -1
"""Instead of the number of users who have an item."""
# Items kept, some 120 bytes each; above that, those without a count in memory are forgotten.
_ITEMS_AT_MOST: Final = 300_000
# Float rounding, relative to the value before: up to 2^-53 of it per addition or subtraction.
_ROUNDING: Final = 2.0**-44


@dataclass(frozen=True, slots=True)
class Found:
    """Where the counts changed by sums are, (n,) each."""

    sums: Sums
    places: Ints
    is_known: Bools
    """in memory"""
    is_missing: Bools
    """not in memory, but maybe in Redis; all others are 0"""

    @property
    def missing(self) -> Ints:
        """The keys that are missing, ascending."""
        return self.sums.key[self.is_missing]


class CountTable:
    """Counts by key, and what is known of each item's row in Redis."""

    def __init__(self, counts_at_most: int) -> None:
        """Take how many counts are kept after `evict`."""
        self._counts_at_most = counts_at_most
        self._items = IdIndex()
        self._rows = Growable(np.empty(0, _ROW))
        """by number"""
        self._texts = Growable(np.empty(0, object))
        """the ids as fields of a hash, by number"""
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.float64)
        self._adds = 0
        self._forget_at = _ITEMS_AT_MOST

    def __len__(self) -> int:
        return len(self._keys)

    def numbers(self, items: Ints) -> Ints:
        """Return the number of each item, (n,); new ones get one."""
        numbers = self._items.add_unknown(items)
        if more := len(self._items) - len(self._rows):
            self._rows.grow(more)[:] = (NOTHING, 0, UNKNOWN, UNKNOWN, False, False, False)
            self._texts.grow(more)[:] = list(map(str, self._items.ids[-more:].tolist()))
        return numbers

    def items(self, numbers: Ints | slice = slice(None)) -> Ints:
        """Return the items of numbers, (n,); by default of all."""
        items: Ints = self._items.ids[numbers]
        return items

    def texts(self, numbers: Ints) -> list[str]:
        """Return the items of numbers, (n,), in decimal."""
        texts: list[str] = self._texts.values[numbers].tolist()
        return texts

    def unread(self, numbers: Ints) -> Ints:
        """Return the items' numbers, (k,) distinct, that must be given to `learn`."""
        is_read = self._rows.values["is_read"][numbers]
        return distinct(numbers[:0] if is_read.all() else numbers[~is_read])

    def learn(self, numbers: Ints, marks: Ints, holders: Ints) -> None:
        """Insert what Redis has in items' rows.

        Args:
            numbers: (n,) of the items.
            marks: (n,) `NOTHING` without a row.
            holders: (n,) how many users have the item, `UNKNOWN` if not in the row.
        """
        rows = self._rows.values
        rows["mark"][numbers] = marks
        rows["holders"][numbers] = np.where(marks == NOTHING, 0, holders)
        rows["written_holders"][numbers] = holders
        # Counts not in memory are 0 for a row that did not exist, until some of it is evicted.
        rows["is_whole"][numbers] = marks == NOTHING
        rows["is_read"][numbers] = True

    def marks(self, numbers: Ints) -> Ints:
        """Return the mark of each item's row as given to `learn`, (n,)."""
        marks: Ints = self._rows.values["mark"][numbers]
        return marks

    def add_holders(self, numbers: Ints, change: Ints | None, mark: int) -> None:
        """Add to how many users have items; rows that already have the message are skipped.

        Args:
            numbers: (n,) of the items, which may be repeated.
            change: (n,) to each; None if unspecified: the numbers are unknown from then on.
            mark: of the message.
        """
        rows = self._rows.values
        is_new = (rows["mark"][numbers] < mark) & (rows["holders"][numbers] != UNKNOWN)
        numbers = numbers[is_new]
        if change is None:
            rows["holders"][numbers] = UNKNOWN
            return
        np.add.at(rows["holders"], numbers, change[is_new])
        # The log dropped changes that added users before they were read.
        rows["holders"][numbers[rows["holders"][numbers] < 0]] = UNKNOWN

    def take_holders(self, numbers: Ints) -> tuple[list[int], list[bool]]:
        """Return how many users have items, and whether Redis has another number, (n,) each.

        What is returned then counts as written.
        """
        rows = self._rows.values
        holders = rows["holders"][numbers]
        is_changed = holders != rows["written_holders"][numbers]
        rows["written_holders"][numbers] = holders
        return holders.tolist(), is_changed.tolist()

    def find(self, sums: Sums) -> Found:
        """Return where the counts changed by sums are, and which must be read first."""
        places, is_known = places_in(self._keys, sums.key)
        is_whole = self._rows.values["is_whole"][i_of(sums.key)]
        return Found(sums, places, is_known, ~is_known & ~is_whole)

    def add(self, found: Found, missing: Floats) -> Floats:
        """Add the sums to their counts, found before; return these, (n,).

        The row of an item that no user has any more is all zeros. If the number of users is
        unknown, it is one whose own count, G[i, i], becomes 0.

        Args:
            found: by `find`, since the last `add` or `evict`.
            missing: the counts reported missing, in that order, 0 where Redis has none.
        """
        sums, is_known = found.sums, found.is_known
        counts = np.zeros(len(sums))
        counts[is_known] = self._counts[found.places[is_known]]
        counts[found.is_missing] = missing
        counts, rounding = _added(counts, sums)
        numbers = i_of(sums.key)
        own = np.flatnonzero(numbers == j_of(sums.key))
        counts[own] = self._own_counts(numbers[own], counts[own], rounding[own])
        self._put(found, counts)
        self._adds += 1
        self._rows.values["touched"][numbers] = self._adds
        empty = numbers[own][counts[own] == 0]
        counts[np.isin(numbers, empty)] = 0
        self._clear(empty)
        return counts

    def list_items(self, numbers: Ints, are_listed: Bools) -> Bools:
        """Note which items belong in the index; return which may not be in it yet, (n,).

        An item may have been in it before it was first touched here.
        """
        is_listed = self._rows.values["is_listed"]
        are_new: Bools = are_listed & ~is_listed[numbers]
        is_listed[numbers] = are_listed
        return are_new

    def evict(self) -> None:
        """Forget the least recently touched rows, when there are too many counts."""
        if len(self) <= self._counts_at_most:
            return
        rows = self._rows.values
        touched = rows["touched"][i_of(self._keys)]
        half = len(self) - self._counts_at_most // 2
        kept = touched > np.partition(touched, half - 1)[half - 1]
        rows["is_whole"][i_of(self._keys[~kept])] = False
        self._keys, self._counts = self._keys[kept], self._counts[kept]

    def forget_items(self) -> None:
        """Forget items without a count in memory, when there are many.

        Their rows must be up to date in Redis. The others are renumbered: call it when no caller
        holds numbers.
        """
        if len(self._items) <= self._forget_at:
            return
        i, j = i_of(self._keys), j_of(self._keys)
        is_kept = np.zeros(len(self._items), dtype=bool)
        is_kept[i] = is_kept[j] = True
        number_of = self._items.keep(is_kept)
        self._rows.keep(is_kept)
        self._texts.keep(is_kept)
        self._keys = keys_of(number_of[i], number_of[j])  # still ascending
        self._forget_at = max(_ITEMS_AT_MOST, 2 * len(self._items))

    def _put(self, found: Found, counts: Floats) -> None:
        is_known = found.is_known
        self._counts[found.places[is_known]] = counts[is_known]
        if not is_known.all():
            new = found.places[~is_known]
            self._keys = np.insert(self._keys, new, found.sums.key[~is_known])
            self._counts = np.insert(self._counts, new, counts[~is_known])

    def _own_counts(self, numbers: Ints, counts: Floats, rounding: Floats) -> Floats:
        """Return each G[i, i], (n,), 0 if and only if no user has the item, as far as known.

        Rounding is bounded by the least it can be while a user has the item.
        """
        holders = self._rows.values["holders"][numbers]
        counts = np.where(holders > 0, np.maximum(counts, rounding), counts)
        counts[holders == 0] = 0
        return counts

    def _clear(self, numbers: Ints) -> None:
        """Set all counts of rows to 0."""
        ends = np.searchsorted(self._keys, [numbers << _BITS, numbers + 1 << _BITS])
        for start, end in ends.T.tolist():
            self._counts[start:end] = 0
        self._rows.values["is_whole"][numbers] = True


def keys_of(i: Ints, j: Ints) -> Ints:
    """Return the keys of G[i, j] for items by their numbers, (n,) each."""
    return i << _BITS | j


def i_of(keys: Ints) -> Ints:
    """Return i of the keys of G[i, j], as numbers, (n,)."""
    return keys >> _BITS


def rows_in(keys: Ints) -> Ints:
    """Return each i of the keys of G[i, j], by ascending key, once."""
    i = i_of(keys)
    return i[starts_of_runs(i)]


def j_of(keys: Ints) -> Ints:
    """Return j of the keys of G[i, j], as numbers, (n,)."""
    return keys & _MASK


def _added(counts: Floats, sums: Sums) -> tuple[Floats, Floats]:
    """Return counts with sums added, and how much of each may be rounding, (n,) each.

    A count that may be only rounding becomes 0. Affinities are not negative, so no count is.
    """
    added: Floats = counts + sums.delta
    is_exact = sums.size is None and integers(counts) is not None and integers(added) is not None
    size = np.abs(sums.delta) if sums.size is None else sums.size
    rounding: Floats = _ROUNDING * np.maximum(counts, size)
    if not is_exact:
        added[added <= rounding] = 0
    return added, rounding
