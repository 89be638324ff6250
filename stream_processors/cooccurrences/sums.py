"""The entries of the Gram matrix that changes touch, and their sums: pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.changes import Changes
from contracts.columns import integers
from contracts.messages import Floats, Ints
from stream_processors.ids import starts_of_runs


class Rows(NamedTuple):
    """Columns of one length n: add `delta` to G[i, j]; pairs may be repeated."""

    i: Ints
    j: Ints
    delta: Floats

    def where(self, chosen: "np.typing.NDArray[np.bool_]") -> "Rows":
        """Return some of the rows."""
        return Rows(self.i[chosen], self.j[chosen], self.delta[chosen])


class Holders(NamedTuple):
    """Columns of one length n: items may be repeated."""

    item: Ints
    change: Ints | None
    """to the number of users who have the item; None: unknown"""


def holders_of(changes: Changes) -> Iterator[Holders]:
    """Yield the changes to how many users have an item."""
    if len(changes.own.item):
        yield Holders(changes.own.item, changes.own.holders)
    for one in changes.taken_out:
        yield Holders(one.i, -(one.r_i > 0).astype(np.int64))


def rows_of(changes: Changes, numbers: Callable[[Ints], Ints]) -> Iterator[Rows]:
    """Yield the entries that changes touch, with numbers instead of items.

    Excludes those of users who leave, `stream_processors.cooccurrences.leaving`.
    """
    own, mirrored = changes.own, changes.mirrored
    if len(own):
        yield Rows(np.repeat(numbers(own.item), own.rows), numbers(own.other), own.delta)
    if len(mirrored):
        j = np.repeat(numbers(mirrored.item), mirrored.rows)
        yield Rows(numbers(mirrored.other), j, mirrored.delta)


class Sums(NamedTuple):
    """Changes to n distinct counts, by ascending key."""

    key: Ints
    delta: Floats
    size: Floats | None
    """(n,) sum of absolute changes; None if all are whole numbers, whose sums are exact"""

    def __len__(self) -> int:
        return len(self.key)


def summed(key: Ints, delta: Floats, size: Floats | None = None) -> Sums:
    """Return changes, (n,) in any order, added up.

    Args:
        key: of the count that each changes.
        delta: of each.
        size: of each as in `Sums`; None if all deltas are whole.
    """
    order = np.argsort(key)
    key = key[order]
    first = starts_of_runs(key)
    return Sums(
        key[first],
        _reduced(delta[order], first),
        None if size is None else _reduced(size[order], first),
    )


def merged(one: Sums, other: Sums) -> Sums:
    """Return both added up; the shorter one's keys are searched for in the longer one."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    if not len(shorter):
        return longer
    places, are_there = places_in(longer.key, shorter.key)
    new = places[~are_there]

    def both(mine: Floats, its: Floats) -> Floats:
        added = mine.copy()
        added[places[are_there]] += its[are_there]
        return np.insert(added, new, its[~are_there])

    is_exact = longer.size is None and shorter.size is None
    return Sums(
        np.insert(longer.key, new, shorter.key[~are_there]),
        both(longer.delta, shorter.delta),
        None if is_exact else both(_size(longer), _size(shorter)),
    )


class Unsummed:
    """Incoming changes, added up in runs, so that hot counts take space once per run."""

    def __init__(self, rows_a_run: int, counts_at_most: int) -> None:
        """Take the size of a run in changes, and how many counts may wait."""
        self._rows_a_run = rows_a_run
        self._counts_at_most = counts_at_most
        self._parts: list[tuple[Ints, Floats]] = []
        self._rows = 0
        self._runs: list[Sums] = []

    @property
    def is_full(self) -> bool:
        """Whether too many distinct counts are waiting."""
        return len(self._runs) == 1 and len(self._runs[0]) >= self._counts_at_most

    def add(self, key: Ints, delta: Floats) -> None:
        """Add changes, (n,) each."""
        self._parts.append((key, delta))
        self._rows += len(key)
        if self._rows >= self._rows_a_run:
            self._end_run()

    def take(self) -> Sums:
        """Return all of them added up, and clear."""
        self._end_run()
        self._merge()
        return self._runs.pop() if self._runs else Sums(np.empty(0, np.int64), np.empty(0), None)

    def _end_run(self) -> None:
        """Add up the changes that are in no run; merge the runs when their total is long."""
        if not self._rows:
            return
        key = np.concatenate([key for key, _ in self._parts])
        delta = np.concatenate([delta for _, delta in self._parts])
        self._parts, self._rows = [], 0
        size = np.abs(delta) if integers(delta) is None else None
        self._runs.append(summed(key, delta, size))
        if sum(map(len, self._runs)) >= self._counts_at_most:
            self._merge()

    def _merge(self) -> None:
        while len(self._runs) > 1:
            self._runs.append(merged(self._runs.pop(), self._runs.pop()))


def _size(sums: Sums) -> Floats:
    return np.abs(sums.delta) if sums.size is None else sums.size


def _reduced(values: Floats, first: Ints) -> Floats:
    """Return the sums of runs of values, each from its first place on."""
    sums: Floats = np.add.reduceat(values, first) if len(first) else values[:0]
    return sums


def places_in(values: Ints, some: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return where values are or belong among distinct ones, (n,), and whether they exist.

    >>> places_in(np.array([3, 5]), np.array([4, 5, 6]))
    (array([1, 1, 2]), array([False,  True, False]))
    """
    places = np.searchsorted(values, some)
    are_there = places < len(values)
    are_there[are_there] = values[places[are_there]] == some[are_there]
    return places, are_there
