"""The entries of the Gram matrix that changes touch, row by row: pure."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from contracts.changes import Changes, TakenOut
from contracts.messages import Floats, Ints

# Entries, 24 bytes each, that a user who leaves is spread out to at once.
_SPREAD_AT_ONCE: Final = 200_000


class Rows(NamedTuple):
    """Columns of one length n: add `delta` to G[i, j]; i and j may stand there repeatedly."""

    i: Ints
    j: Ints
    delta: Floats

    def where(self, chosen: "np.typing.NDArray[np.bool_]") -> "Rows":
        """Return some of the rows."""
        return Rows(self.i[chosen], self.j[chosen], self.delta[chosen])


class Holders(NamedTuple):
    """Columns of one length n: items may stand there repeatedly."""

    item: Ints
    change: Ints | None
    """to the number of users who have the item; None: not said"""


def holders_of(changes: Changes) -> Iterator[Holders]:
    """Yield what changes say of how many users have an item."""
    if len(changes.own.item):
        yield Holders(changes.own.item, changes.own.holders)
    for one in changes.taken_out:
        yield Holders(one.i, -(one.r_i > 0).astype(np.int64))


def rows_of(changes: Changes, numbers: Callable[[Ints], Ints]) -> Iterator[Rows]:
    """Yield all entries that changes touch, with numbers in the place of items."""
    own, mirrored = changes.own, changes.mirrored
    if len(own):
        yield Rows(np.repeat(numbers(own.item), own.rows), numbers(own.other), own.delta)
    if len(mirrored):
        j = np.repeat(numbers(mirrored.item), mirrored.rows)
        yield Rows(numbers(mirrored.other), j, mirrored.delta)
    for one in changes.taken_out:
        yield from _spread(one, numbers(one.i), numbers(one.j))


def _spread(one: TakenOut, i: Ints, j: Ints) -> Iterator[Rows]:
    """Yield the entries of a user who leaves, some rows of G at a time."""
    at_once = max(1, _SPREAD_AT_ONCE // max(1, len(j)))
    for start in range(0, len(i), at_once):
        its, r_i = i[start : start + at_once], one.r_i[start : start + at_once]
        delta = -np.outer(r_i, one.r_j).ravel()
        yield Rows(np.repeat(its, len(j)), np.tile(j, len(its)), delta)
