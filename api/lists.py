"""The lists of the generations that are served, as arrays, kept for as long as memory is set aside.

A generation's lists never change, so what was read once need not be read again: folding a history
into lists costs reading those that were not needed lately. Whether the generation is still the one
that is served, each answer asks anew (`api.reader`).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from api.lately import Lately
from contracts.messages import Floats, Ints

ROWS_KEPT: Final = 16_384
"""Of a generation at least as many of the rows asked for last, at most twice as many: at 200
neighbors a row takes 3.4 kB."""


class Row(NamedTuple):
    """The neighbors of an item, most similar first."""

    places: Ints
    """(k,): the neighbors, by `GenerationLists.item_at`"""
    scores: Floats
    """(k,): their similarities"""


class _Neighbor(msgspec.Struct, frozen=True, gc=False):
    """Of a neighbor, what folding in needs."""

    item: int
    score: float


class _List(msgspec.Struct, frozen=True):
    """Of a `SimilarList`, the same."""

    model: str
    items: list[_Neighbor]


_list = msgspec.json.Decoder(_List, strict=False)  # items are text there

_NO_LIST: Final = Row(np.empty(0, np.int64), np.empty(0))


class GenerationLists:
    """The rows of one generation that were read, and the places of all items in them."""

    def __init__(self) -> None:
        self.model = ""
        """Of the rows; empty until the first one was added."""
        self.place_of: dict[int, int] = {}
        self.item_at: list[int] = []
        self._rows = Lately[int, Row](ROWS_KEPT)
        self._sums: Floats = np.zeros(1024)

    def row(self, item: int) -> Row | None:
        """Return the row of `item`, empty if it has no list; None if it was not read lately."""
        return self._rows.get(item)

    def missing(self, items: Iterable[int]) -> list[int]:
        """Return those of `items` whose list has to be read."""
        return [item for item in items if self.row(item) is None]

    def add(self, item: int, value: bytes | None) -> None:
        """Keep the list of `item` as it stands in Redis: a `SimilarList`, None if it has none."""
        if value is None:
            self._rows.keep(item, _NO_LIST)
            return
        found = _list.decode(value)
        self.model = found.model
        places = [self._place(neighbor.item) for neighbor in found.items]
        scores = [neighbor.score for neighbor in found.items]
        self._rows.keep(item, Row(np.array(places, np.int64), np.array(scores, np.float64)))

    def sums(self) -> Floats:
        """Return zeros, one for each place and more; who changes them sets them to zero again."""
        if len(self._sums) < len(self.item_at):
            self._sums = np.zeros(2 * len(self.item_at))
        return self._sums

    def places(self, items: Iterable[int]) -> Sequence[int]:
        """Return the places of those of `items` that have one."""
        place_of = self.place_of
        return [place_of[item] for item in items if item in place_of]

    def _place(self, item: int) -> int:
        place = self.place_of.get(item)
        if place is None:
            place = self.place_of[item] = len(self.item_at)
            self.item_at.append(item)
        return place


class Lists:
    """The lists of the generations that are served: of several, if variants are."""

    def __init__(self) -> None:
        self._generations: dict[str, GenerationLists] = {}

    def of(self, generation: str, live: Collection[str]) -> GenerationLists:
        """Return what is kept of a generation: nothing yet if it is new.

        Args:
            generation: its name.
            live: those that are served; of others nothing is kept once a new one comes.
        """
        lists = self._generations.get(generation)
        if lists is None:
            kept = {name: lists for name, lists in self._generations.items() if name in live}
            lists = kept[generation] = GenerationLists()
            self._generations = kept
        return lists
