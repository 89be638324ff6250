"""Changes to the Gram matrix, as columns; `contracts.change_messages` has their wire format.

An event of a user with h other items changes h + 1 entries of G, each in the row that
`contracts.pairs` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.messages import Floats, Ints

Chosen = slice | Ints | npt.NDArray[np.bool_]
"""A selection of events, as a NumPy index."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The changes of m events: each changes some entries in one row or column of G, n in total."""

    offset: Ints
    """(m,) of the event in the source partition, ascending"""
    item: Ints
    """(m,) the item whose row or column of G changes"""
    rows: Ints
    """(m,) number of the event's entries"""
    other: Ints
    """(n,) the column in that row, or the row in that column"""
    delta: Floats
    """(n,) the value to add"""
    holders: Ints | None = None
    """(m,) change of the number of users who have `item`: 1, 0 or -1; only in `Changes.own`. None:
    not given, as each affinity is 1, so that G[item, item] is that number"""

    def __len__(self) -> int:
        return len(self.other)

    def holders_where(self, chosen: Chosen) -> Ints | None:
        """Return `holders` of some of the events, None if it is not given."""
        return None if self.holders is None else self.holders[chosen]

    def entries_where(self, kept: npt.NDArray[np.bool_]) -> "Blocks":
        """Return some of the entries, (n,), without the events that have none of these."""
        event = np.repeat(np.arange(len(self.rows)), self.rows)
        rows = np.bincount(event[kept], minlength=len(self.rows))
        some = np.flatnonzero(rows)
        return Blocks(
            self.offset[some],
            self.item[some],
            rows[some],
            self.other[kept],
            self.delta[kept],
            self.holders_where(some),
        )

    @classmethod
    def none(cls) -> "Blocks":
        """Return no changes."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, nothing, nothing, np.empty(0))


@dataclass(frozen=True, slots=True)
class TakenOut:
    """The removal of a user with k items here and h in total.

    Subtract `r_i[k] * r_j[h]` from G, where row i has the pair.
    """

    offset: int
    i: Ints
    """(k,) items whose rows this partition keeps"""
    r_i: Floats
    j: Ints
    """(h,) all items of the user"""
    r_j: Floats

    def __len__(self) -> int:
        """About how many entries that are; of all partitions together exactly, but for rounding."""
        return len(self.i) * (len(self.j) + 1) // 2


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes to the rows of the Gram matrix that one partition of `cooccurrences` keeps.

    All changes here of one offset of the source partition of `interactions` are in one message.
    """

    source: int
    """partition of `interactions` that contains the events"""
    incarnation: int
    """of that partition's log"""
    lineage: int
    """of the histories that the changes were computed from, see `keyspace.LINEAGE_FIELD`"""
    own: Blocks
    """add to G[item, other]"""
    mirrored: Blocks
    """add to G[other, item]"""
    taken_out: Sequence[TakenOut] = ()

    def __len__(self) -> int:
        return len(self.own) + len(self.mirrored) + sum(map(len, self.taken_out))
