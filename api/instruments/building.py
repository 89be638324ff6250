"""Sorting and grouping in steps of a ms or so, so that other tasks run in between. Pure.

Sorting 50,000 texts takes Python many ms at once, as does sorting all words of their names in
numpy.
"""

from collections.abc import Generator, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Final, TypeVar

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
_AT_ONCE: Final = 8 * STEP
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
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        order = np.argsort(some, kind="stable")
        some = some[order]
        first = np.flatnonzero(np.diff(some, prepend=-1))
        lengths = np.diff(first, append=len(some))
        nth = np.arange(len(some)) - np.repeat(first, lengths)
        together[free[some] + nth] = ranks[start + order]
        free[some[first]] += lengths
        yield
    return together
