"""A user's history in memory, in NumPy records, and a worker's cache of histories. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.log_position import NOTHING
from contracts.messages import Floats, Ints
from contracts.tombstones import NEVER_MS
from stream_processors.ids import Growable

ENTRY: Final = np.dtype(
    [("item", np.int64), ("affinity", np.float64), ("ts_ms", np.int64), ("first_ms", np.int64)]
)
"""A user's relation to an item; `ts_ms` is the last event time, `first_ms` the first, epoch ms."""
SCALED_ENTRY: Final = np.dtype(
    [*ENTRY.descr, ("scale", np.float64), ("total", np.float64), ("n_values", np.int64)]
)
"""The same if users are weighted: `scale` is the user's scale contained in the affinity, `total`
the sum of the values of its `n_values` transactions with a value."""


class Rejected(NamedTuple):
    """An item that the user must not be shown."""

    affinity: float
    """0 or less, without the user's scale"""
    ts_ms: int
    """last event time, epoch ms"""
    first_ms: int
    """first event time, epoch ms"""


class History:
    """The items of one user, in no order; at most `cap` of them after each event."""

    __slots__ = (
        "_affinity", "_entries", "_first_ms", "_item", "_room", "_ts_ms",
        "erased_before_ms", "is_emptied", "mark", "rejected", "removed", "touched",
    )  # fmt: skip

    def __init__(self, entries: npt.NDArray[Any], mark: int = NOTHING) -> None:
        """Take ownership of the items, as `ENTRY` or `SCALED_ENTRY`."""
        self.mark = mark
        """of the last folded event"""
        self.erased_before_ms = NEVER_MS
        """earlier events are skipped, as the user was erased"""
        self.rejected: dict[int, Rejected] = {}
        """other items, which do not count"""
        self.touched: set[int] = set()
        """items that differ from what Redis holds"""
        self.removed: set[int] = set()
        """items that Redis may hold, but this history does not"""
        self.is_emptied = False
        """what Redis has of the user is to be deleted before anything is written: the user was
        removed, and may have come back since"""
        self._entries = Growable(entries)
        self._view()

    @classmethod
    def empty(cls, *, scaled: bool) -> "History":
        """Return the history of a user who has none."""
        return cls(np.empty(0, SCALED_ENTRY if scaled else ENTRY))

    def __len__(self) -> int:
        return self._entries.n

    @property
    def is_bare(self) -> bool:
        """Whether the user has no items, not even rejected ones."""
        return not self._entries.n and not self.rejected

    @property
    def entries(self) -> npt.NDArray[Any]:
        """The items as `ENTRY` or `SCALED_ENTRY`, (n,); a view that `add` may invalidate."""
        return self._entries.values

    def items(self) -> Ints:
        """Return a copy of the items, (n,)."""
        return self._item[: self._entries.n].copy()

    def affinities_times(self, factor: float) -> Floats:
        """Return all affinities times a factor, (n,)."""
        affinities: Floats = self._affinity[: self._entries.n]
        # 1 is the factor of most events, and a product costs more than a copy.
        return affinities.copy() if factor == 1 else affinities * factor

    def place_of(self, item: int) -> int:
        """Return an item's index in `entries`, -1 if the user does not have it."""
        found = (self._item[: self._entries.n] == item).nonzero()[0]
        return int(found[0]) if found.size else -1

    def records_of(self, items: Collection[int]) -> list[tuple[Any, ...]]:
        """Return the entries of those of some items that the user has."""
        entries = self.entries
        asked = np.fromiter(items, np.int64, len(items))
        places = (entries["item"] == asked[:, np.newaxis]).nonzero()[1]
        records: list[tuple[Any, ...]] = entries[places].tolist()
        return records

    def add(self, item: int, affinity: float, ts_ms: int) -> None:
        """Add an item that the user does not have, or has rejected, at the end."""
        first_ms = ts_ms
        if self.rejected and (before := self.rejected.pop(item, None)):
            first_ms, ts_ms = min(before.first_ms, ts_ms), max(before.ts_ms, ts_ms)
        new = self._entries.grow(1)
        if self._entries.room is not self._room:
            self._view()
        new[0] = (item, affinity, ts_ms, first_ms, 1.0, 0.0, 0)[: len(new.dtype.names or ())]
        self.touched.add(item)
        if self.removed:
            self.removed.discard(item)

    def put(self, place: int, affinity: float, ts_ms: int) -> None:
        """Set the affinity of an item that the user has, after an event at that time."""
        self._affinity[place] = affinity
        if ts_ms > self._ts_ms[place]:
            self._ts_ms[place] = ts_ms
        elif ts_ms < self._first_ms[place]:
            self._first_ms[place] = ts_ms
        self.touched.add(int(self._item[place]))

    def remove(self, place: int) -> None:
        """Remove an item; the last one moves to its index."""
        entries = self.entries
        item = int(entries["item"][place])
        entries[place] = entries[-1]
        self._entries.cut(len(entries) - 1)
        self.touched.discard(item)
        self.removed.add(item)

    def reject(self, item: int, affinity: float, ts_ms: int) -> None:
        """Move an item, if the user has it, to the rejected ones, after an event at that time."""
        place = self.place_of(item)
        if place >= 0:
            before = Rejected(0.0, int(self._ts_ms[place]), int(self._first_ms[place]))
            self.remove(place)
        else:
            before = self.rejected.get(item, Rejected(0.0, ts_ms, ts_ms))
        last_ms, first_ms = max(before.ts_ms, ts_ms), min(before.first_ms, ts_ms)
        self.rejected[item] = Rejected(affinity, last_ms, first_ms)
        self.touched.add(item)
        self.removed.discard(item)

    def forget(self, item: int) -> None:
        """Remove a rejected item."""
        del self.rejected[item]
        self.touched.discard(item)
        self.removed.add(item)

    def clear(self) -> None:
        """Remove all items."""
        self._entries.cut(0)
        self.rejected.clear()
        self.touched.clear()
        self.removed.clear()
        self.is_emptied = True

    def oldest(self) -> int:
        """Return the index of the least recently touched item; ties go to the least id."""
        ts_ms = self._ts_ms[: self._entries.n]
        places = (ts_ms == ts_ms.min()).nonzero()[0]
        return int(places[0] if places.size == 1 else places[self._item[places].argmin()])

    def last_ts_ms(self) -> int:
        """Return the last event time, epoch ms, -1 if there are no items."""
        last_ms = int(self._ts_ms[: self._entries.n].max(initial=-1))
        return max([last_ms, *(one.ts_ms for one in self.rejected.values())])

    def settle(self) -> None:
        """Note that Redis is up to date."""
        self.touched.clear()
        self.removed.clear()
        self.is_emptied = self.is_bare

    def _view(self) -> None:
        """Cache views of the columns, which is faster than naming them each time."""
        self._room = room = self._entries.room
        self._item, self._affinity = room["item"], room["affinity"]
        self._ts_ms, self._first_ms = room["ts_ms"], room["first_ms"]


# Overhead of a history in memory, in items.
_OVERHEAD: Final = 16
_REJECTED: Final = 8
"""That of a rejected item."""


class HistoryCache:
    """Histories by user: all that differ from Redis, and others up to a bound.

    Sizes are in items, of some 24 bytes each.
    """

    def __init__(self, size_at_most: int) -> None:
        """Take the bound of the histories that do not differ from Redis."""
        self._size_at_most = size_at_most
        self._changed: dict[str, History] = {}
        # Least recently changed first.
        self._others: dict[str, History] = {}
        self._others_size = 0
        self.changed_size = 0
        """since when histories differ from Redis"""

    @property
    def changed(self) -> Mapping[str, History]:
        """The histories that differ from Redis, by user."""
        return self._changed

    def unknown(self, users: Iterable[str]) -> list[str]:
        """Return the users whose histories must be given to `insert` before `get`."""
        return [user for user in users if user not in self._changed and user not in self._others]

    def insert(self, user: str, history: History) -> None:
        """Insert what Redis holds of a user."""
        self._others[user] = history
        self._others_size += _size(history)

    def get(self, user: str) -> History:
        """Return a user's history, read-only."""
        history = self._changed.get(user)
        return self._others[user] if history is None else history

    def change(self, user: str) -> History:
        """Return a user's history to be changed."""
        history = self._changed.get(user)
        if history is None:
            history = self._changed[user] = self._others.pop(user)
            size = _size(history)
            self._others_size -= size
            self.changed_size += size
        return history

    def settle(self) -> None:
        """Note that Redis is up to date; forget the least recently changed histories."""
        for user, history in self._changed.items():
            history.settle()
            self.insert(user, history)
        self._changed.clear()
        self.changed_size = 0
        while self._others_size > self._size_at_most:
            self._others_size -= _size(self._others.pop(next(iter(self._others))))


def _size(history: History) -> int:
    return len(history) + _REJECTED * len(history.rejected) + _OVERHEAD
