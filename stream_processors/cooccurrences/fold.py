"""Changes to the Gram matrix, and which of them were applied before: pure, on NumPy arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.changes import Changes
from contracts.messages import Floats, Ints
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
