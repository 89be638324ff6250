"""Item lists of the served generations, as arrays; recently used ones stay in memory.

The lists of a generation never change, so those in memory need not be read again: to fold in a
history, only the others are read. `api.generations.pointer` decides which generation is served.
"""

from collections.abc import Collection
from typing import Final

import msgspec
import numpy as np

from api.recommendations.fold import ENTRY, Places, Row
from api.redis.lru import LruCache
from contracts.messages import Floats

ROWS_BYTES: Final = 180_000_000
"""Per generation, at least this much of the most recently used rows is kept, and at most twice as
much: 50,000 rows of 200 neighbors."""
_ROW_OBJECTS_BYTES: Final = 400
"""The overhead of a row in addition to its numbers."""


class _Neighbor(msgspec.Struct, frozen=True, gc=False):
    """The fields of a neighbor that folding in needs."""

    item: int
    score: float


class _List(msgspec.Struct, frozen=True):
    """The fields of a `SimilarList` that folding in needs."""

    items: list[_Neighbor]


_list = msgspec.json.Decoder(_List, strict=False)  # items are strings there


def _bytes_of(row: Row) -> int:
    return len(row) + _ROW_OBJECTS_BYTES


class GenerationLists:
    """The cached rows of one generation, and the places of all items in them."""

    def __init__(self) -> None:
        self.places = Places()
        self._rows = LruCache[int, Row](ROWS_BYTES, _bytes_of)
        self._sums: Floats = np.zeros(0)
        """Small, so that they stay in the CPU caches."""

    def row(self, item: int) -> Row | None:
        """Return the row of `item`, empty if it has no list; None if it is not cached."""
        return self._rows.get(item)

    def add(self, item: int, value: bytes | None) -> Row:
        """Keep and return the row of `item` from its list in Redis, None if it has none."""
        row = b"" if value is None else self._row(_list.decode(value))
        self._rows.keep(item, row)
        return row

    def sums(self) -> Floats:
        """Return zeros to sum into, one for each place or more; they must be zeros afterwards."""
        needed = len(self.places.item_at)
        if len(self._sums) < needed:
            self._sums = np.zeros(needed + needed // 8)
        return self._sums

    def _row(self, found: _List) -> Row:
        row = np.empty(len(found.items), ENTRY)
        row["place"] = self.places.of_all([neighbor.item for neighbor in found.items])
        row["score"] = [neighbor.score for neighbor in found.items]
        return row.tobytes()


class Lists:
    """The lists of the served generations: several, if there are variants."""

    def __init__(self) -> None:
        self._generations: dict[str, GenerationLists] = {}

    def of(self, generation: str, live: Collection[str]) -> GenerationLists:
        """Return the cached lists of a generation, empty if it is new.

        Args:
            generation: its name.
            live: the served generations; others are dropped when a new one is added.
        """
        lists = self._generations.get(generation)
        if lists is None:
            kept = {name: lists for name, lists in self._generations.items() if name in live}
            lists = kept[generation] = GenerationLists()
            self._generations = kept
        return lists
