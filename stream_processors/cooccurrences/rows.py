"""The entries of the Gram matrix that changes touch, row by row: pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from contracts.changes import Changes
from contracts.messages import Floats, Ints


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
