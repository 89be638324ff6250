"""An inverted index of values: which instruments have each. Pure.

It is built in steps of a ms or so, so that other tasks run in between: sorting 50,000 texts takes
Python many ms at once, as does sorting all words of their names in numpy.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, count, islice
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

T = TypeVar("T")
K = TypeVar("K", str, float)
"""Values of one order."""
Ranks = npt.NDArray[np.int32]

Building = Generator[None, None, T]
"""Yields after each step of a ms or so, and returns the result."""

STEP: Final = 1_000
"""Instruments or words per step."""
_ENTRIES_AT_ONCE: Final = 8 * STEP
"""Entries per step for numpy, which is that much faster."""


def steps(items: Iterable[T], n: int = STEP) -> Iterator[list[T]]:
    """Yield items in lists of `n`."""
    left = iter(items)
    while some := list(islice(left, n)):
        yield some


def in_order(items: Iterable[K]) -> Building[list[K]]:
    """Sort by merging short runs; Python's sort would take many ms at once."""
    runs: list[list[K]] = []
    for some in steps(items):
        runs.append(sorted(some))
        yield
    merged: list[K] = []
    for some in steps(merge(*runs)):
        merged += some
        yield
    return merged


def grouped(places: Ranks, ranks: Ranks, starts: Ints) -> Building[Ranks]:
    """Return the ranks of the first value, followed by those of the second, and so on, (e,).

    Args:
        places: the place of a value, (e,).
        ranks: the rank of an instrument with that value, (e,).
        starts: where the ranks of each value start, (v + 1,).
    """
    together, free = np.empty_like(ranks), starts[:-1].copy()
    for start in range(0, len(places), _ENTRIES_AT_ONCE):
        some = places[start : start + _ENTRIES_AT_ONCE]
        order = np.argsort(some, kind="stable")
        some = some[order]
        first = np.flatnonzero(np.diff(some, prepend=-1))
        lengths = np.diff(first, append=len(some))
        nth = np.arange(len(some)) - np.repeat(first, lengths)
        together[free[some] + nth] = ranks[start + order]
        free[some[first]] += lengths
        yield
    return together


_VALUES_AT_ONCE: Final = 2 * STEP
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
        for some in steps(chain(known, self._values), _VALUES_AT_ONCE):
            distinct.update(dict.fromkeys(some, 0))
            yield
        values: list[K] = yield from in_order(distinct)
        for start in range(0, len(values), _VALUES_AT_ONCE):
            distinct.update(
                zip(values[start : start + _VALUES_AT_ONCE], count(start), strict=False)
            )
            yield
        places = np.empty(len(self._values), np.int32)
        for start in range(0, len(places), _VALUES_AT_ONCE):
            end = start + _VALUES_AT_ONCE
            places[start:end] = [distinct[value] for value in self._values[start:end]]
            yield
        starts = np.concatenate(([0], np.cumsum(np.bincount(places, minlength=len(values)))))
        yield
        ranks = yield from grouped(places, np.array(self._ranks, np.int32), starts)
        return Postings(values, starts.astype(np.int32), ranks)
