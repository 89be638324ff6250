"""An inverted index: which instruments have each of some values. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain, count
from typing import Final, Generic

import numpy as np

from api.instruments.building import STEP, Building, K, Ranks, grouped, in_order, steps

_AT_ONCE: Final = 2 * STEP
"""Values per step that takes a few instructions for each."""


class Postings(Generic[K]):
    """The ranks of the instruments that have each value, in the order of the values."""

    def __init__(self, values: Sequence[K], starts: Ranks, ranks: Ranks) -> None:
        """Create an index.

        Args:
            values: sorted, without duplicates, (v,).
            starts: where the ranks of each value start, (v + 1,).
            ranks: of the instruments with the first value, ascending, then with the second, (e,).
        """
        self.values: Sequence[K] = values
        self._starts = starts
        self._ranks = ranks

    def between(self, first: int, last: int) -> Ranks:
        """Return the ranks of the values from the place `first` up to, without, `last`."""
        return self._ranks[self._starts[first] : self._starts[last]]

    def of(self, value: K) -> Ranks:
        """Return the ranks of a value, none if no instrument has it."""
        return self.between(bisect_left(self.values, value), bisect_right(self.values, value))


NOTHING: Final = Postings[str]((), np.zeros(1, np.int32), np.empty(0, np.int32))
"""Of no instruments."""


class Collected(Generic[K]):
    """Values and the instruments that have them, to be sorted once all are known."""

    def __init__(self) -> None:
        # With a list for each value, Python's garbage collector would traverse all of them at once.
        self._values: list[K] = []
        self._ranks = array("i")

    def add(self, value: K, rank: int) -> None:
        """Add a value of an instrument."""
        self._values.append(value)
        self._ranks.append(rank)

    def postings(self, known: Iterable[K] = ()) -> Building[Postings[K]]:
        """Build the index of what was added, in the order of ranks.

        Args:
            known: the objects to use for values that are equal: copies would take megabytes.
        """
        distinct: dict[K, int] = {}
        for some in steps(chain(known, self._values), _AT_ONCE):
            distinct.update(dict.fromkeys(some, 0))
            yield
        values: list[K] = yield from in_order(distinct)
        for start in range(0, len(values), _AT_ONCE):
            distinct.update(zip(values[start : start + _AT_ONCE], count(start), strict=False))
            yield
        places = np.empty(len(self._values), np.int32)
        for start in range(0, len(places), _AT_ONCE):
            end = start + _AT_ONCE
            places[start:end] = [distinct[value] for value in self._values[start:end]]
            yield
        starts = np.concatenate(([0], np.cumsum(np.bincount(places, minlength=len(values)))))
        yield
        ranks = yield from grouped(places, np.array(self._ranks, np.int32), starts)
        return Postings(values, starts.astype(np.int32), ranks)
