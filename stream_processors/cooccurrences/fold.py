"""Changes to the Gram matrix, summed: pure, on NumPy arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.messages import Changes, Floats, Ints
from stream_processors.marks import NOTHING, mark


@dataclass(frozen=True, slots=True)
class MarkedRows:
    """Rows of changes, columns of one length n: add `delta` to G[i, j]."""

    at: Ints
    """(n,) mark of the message, in the log of `cooccurrences`"""
    i: Ints
    j: Ints
    delta: Floats

    def __len__(self) -> int:
        return len(self.i)

    @classmethod
    def joined(cls, parts: Sequence["MarkedRows"]) -> "MarkedRows":
        """Return the rows of all parts."""
        if not parts:
            none = np.empty(0, np.int64)
            return cls(none, none, none, np.empty(0))
        return cls(
            np.concatenate([p.at for p in parts]),
            np.concatenate([p.i for p in parts]),
            np.concatenate([p.j for p in parts]),
            np.concatenate([p.delta for p in parts]),
        )

    def where(self, chosen: "np.typing.NDArray[np.bool_]") -> "MarkedRows":
        """Return some of the rows."""
        return MarkedRows(self.at[chosen], self.i[chosen], self.j[chosen], self.delta[chosen])


def unapplied(
    at: int, changes: Changes, applied: Mapping[int, int]
) -> tuple[MarkedRows, dict[int, int]]:
    """Return the rows whose events were not applied before, and what is applied with them.

    Args:
        at: mark of the message, in the log of `cooccurrences`.
        changes: the message.
        applied: source partition -> mark of the last event that was applied.
    """
    events = mark(changes.incarnation, 0) + changes.offset
    fresh = events > applied.get(changes.source, NOTHING)
    n = int(np.count_nonzero(fresh))
    rows = MarkedRows(
        np.full(n, at, np.int64), changes.i[fresh], changes.j[fresh], changes.delta[fresh]
    )
    return rows, {**applied, changes.source: int(events.max())} if n else dict(applied)


@dataclass(frozen=True, slots=True)
class RowChange:
    """What is to be added to one item's row of G."""

    item: int
    j: Ints
    """(n,) distinct, rising"""
    delta: Floats
    mark: int
    """of the last message in it"""


def sum_by_row(rows: MarkedRows) -> list[RowChange]:
    """Return the rows summed by item and then by j."""
    if not len(rows):
        return []
    order = np.lexsort((rows.j, rows.i))
    i, j = rows.i[order], rows.j[order]
    new_i = np.flatnonzero(np.diff(i, prepend=i[0] - 1))
    is_new = np.ones(len(i), dtype=bool)
    is_new[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1])
    entry = np.flatnonzero(is_new)
    delta = np.add.reduceat(rows.delta[order], entry)
    marks = np.maximum.reduceat(rows.at[order], new_i)
    first = np.searchsorted(entry, new_i)
    last = np.append(first[1:], len(entry))
    return [
        RowChange(int(i[start]), j[entry[a:b]], delta[a:b], int(at))
        for start, a, b, at in zip(new_i, first, last, marks, strict=True)
    ]
