"""An inverted index: which instruments have each of some values. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, Generic

import numpy as np

from api.instruments.building import Building, K, Ranks, grouped, in_order, steps


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
        self._numbers: dict[K, int] = {}
        """Of values, in the order of their first use."""
        # With a list for each value, Python's garbage collector would traverse all of them at once.
        self._of_number, self._ranks = array("i"), array("i")

    def know(self, values: Iterable[K]) -> None:
        """Use these objects for values that are equal: copies would take megabytes."""
        for value in values:
            self._numbers.setdefault(value, len(self._numbers))

    def add(self, values: Iterable[K], rank: int) -> None:
        """Add the values of an instrument."""
        numbers, of_number, ranks = self._numbers, self._of_number, self._ranks
        for value in values:
            of_number.append(numbers.setdefault(value, len(numbers)))
            ranks.append(rank)

    def postings(self) -> Building[Postings[K]]:
        """Build the index of what was added, in the order of ranks."""
        numbers = self._numbers
        values: Sequence[K] = yield from in_order(numbers)
        place_of = np.empty(len(numbers), np.int32)
        for some in steps(enumerate(values)):
            for place, value in some:
                place_of[numbers[value]] = place
            yield
        places = place_of[np.array(self._of_number, np.int32)]
        yield
        starts = np.concatenate(([0], np.cumsum(np.bincount(places, minlength=len(numbers)))))
        yield
        ranks = yield from grouped(places, np.array(self._ranks, np.int32), starts)
        return Postings(values, starts.astype(np.int32), ranks)
