"""Assigns each item a place, an index into arrays, in the order of first use."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

Placed = npt.NDArray[np.int32]

_TABLE_MOST: Final = 1 << 22
"""Items below this are looked up in a table of up to 16 MB, all others in a dict, which for a list
of 200 takes three times as long as all the rest of reading it."""
_UNKNOWN: Final = -1


class Places:
    """The places of the items seen so far."""

    def __init__(self) -> None:
        self._place_of: dict[int, int] = {}
        self._item_at: Ints = np.empty(1024, np.int64)
        """By place; the rest is room."""
        self._table: Placed = np.full(1024, _UNKNOWN, np.int32)
        """Indexed by item, up to its length."""

    @property
    def item_at(self) -> Ints:
        """The item at each place, (places,)."""
        return self._item_at[: len(self._place_of)]

    def of_all(self, items: Sequence[int]) -> Placed:
        """Return the place of each item, (n,); new items get the next ones."""
        ids = np.fromiter(items, np.int64, len(items))
        if ids.max(initial=0) < len(self._table):
            placed = self._table[ids]
            if placed.min(initial=0) != _UNKNOWN:
                return placed
        return np.array([self._placed(item) for item in items], np.int32)

    def of_known(self, items: Iterable[int]) -> list[int]:
        """Return the places of those of `items` that have one."""
        place_of = self._place_of.get
        return [place for item in items if (place := place_of(item)) is not None]

    def _placed(self, item: int) -> int:
        place = self._place_of.get(item)
        if place is None:
            place = self._place_of[item] = len(self._place_of)
            if place == len(self._item_at):
                self._item_at = np.append(self._item_at, np.empty_like(self._item_at))
            self._item_at[place] = item
            if item < _TABLE_MOST:
                self._enter(item, place)
        return place

    def _enter(self, item: int, place: int) -> None:
        if item >= len(self._table):
            larger = np.full(min(2 * item, _TABLE_MOST), _UNKNOWN, np.int32)
            larger[: len(self._table)] = self._table
            self._table = larger
        self._table[item] = place
