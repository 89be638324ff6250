"""A user's history in memory: NumPy records, as users have up to thousands of items."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_processors.growable import Growable
from stream_processors.store.marks import NOTHING

ENTRY: Final = np.dtype([("item", np.int64), ("affinity", np.float64), ("ts_ms", np.int64)])
"""What a user has with an item; `ts_ms` is the last event time, epoch ms."""
SCALED_ENTRY: Final = np.dtype(
    [*ENTRY.descr, ("scale", np.float64), ("total", np.float64), ("n_values", np.int64)]
)
"""The same if users are weighted: `scale` is the user's that is in the affinity, `total` the sum of
the values of its `n_values` transactions that have one."""


@dataclass(slots=True)
class History:
    """The items of one user, in no order; at most `cap` of them after each event."""

    growable: Growable = field(default_factory=lambda: Growable(np.empty(0, ENTRY)))
    mark: int = NOTHING
    """of the last event folded in"""
    touched: set[int] = field(default_factory=set)
    """items that differ from what Redis holds"""
    removed: set[int] = field(default_factory=set)
    """items that Redis may hold and this does not"""
    is_anew: bool = False
    """the user was taken out since the history was written"""

    @classmethod
    def empty(cls, *, scaled: bool) -> "History":
        """Return the history of a user who has none."""
        return cls(Growable(np.empty(0, SCALED_ENTRY if scaled else ENTRY)))

    def __len__(self) -> int:
        return len(self.growable)

    @property
    def entries(self) -> npt.NDArray[Any]:
        """The items as `ENTRY` or `SCALED_ENTRY`, (n,); a view that `put` may leave out of date."""
        return self.growable.values

    def place_of(self, item: int) -> int:
        """Return an item's place in `entries`, -1 if the user does not have it."""
        found = (self.entries["item"] == item).nonzero()[0]
        return int(found[0]) if len(found) else -1

    def records_of(self, items: Collection[int]) -> list[tuple[Any, ...]]:
        """Return the entries of items that the user has."""
        entries = self.entries
        asked = np.fromiter(items, np.int64, len(items))
        places = (entries["item"] == asked[:, np.newaxis]).nonzero()[1]
        records: list[tuple[Any, ...]] = entries[places].tolist()
        return records

    def add(self, item: int, affinity: float, ts_ms: int) -> None:
        """Add an item that the user does not have, at the end."""
        place = self.growable.grow(1)
        place[0] = (item, affinity, ts_ms, 1.0, 0.0, 0)[: len(place.dtype.names or ())]
        self.removed.discard(item)
        self.touched.add(item)

    def put(self, place: int, affinity: float, ts_ms: int) -> None:
        """Set affinity and last event time of an item that the user has."""
        entries = self.entries
        entries["affinity"][place] = affinity
        entries["ts_ms"][place] = ts_ms
        self.touched.add(int(entries["item"][place]))

    def remove(self, place: int) -> None:
        """Take an item out; the last one moves to its place."""
        entries = self.entries
        item = int(entries["item"][place])
        entries[place] = entries[-1]
        self.growable.cut(len(entries) - 1)
        self.touched.discard(item)
        self.removed.add(item)

    def clear(self) -> None:
        """Take all items out."""
        self.growable.cut(0)
        self.touched.clear()
        self.removed.clear()
        self.is_anew = True

    def oldest(self) -> int:
        """Return the place of the item not touched for longest, of several the least id."""
        ts_ms = self.entries["ts_ms"]
        places = (ts_ms == ts_ms.min()).nonzero()[0]
        return int(places[self.entries["item"][places].argmin()])

    def last_ts_ms(self) -> int:
        """Return the last event time, epoch ms, -1 if there are no items."""
        return int(self.entries["ts_ms"].max(initial=-1))

    def settle(self) -> None:
        """Take note that Redis holds all of it."""
        self.touched.clear()
        self.removed.clear()
        self.is_anew = False
