"""The popular lists of the served generations, as arrays.

A list has most items of the catalog, so it is read once and kept, and one list answers for each
category: those of its items that may be shown, in their order.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
import numpy as np

from api.generations.pointer import Generation, Generations
from api.instruments.visibility import Boosts, Shown
from api.redis.reading import Read
from contracts.fold_in import SCORE_DECIMALS
from contracts.keyspace import Keyspace
from contracts.messages import Floats, Ints

_FIRST: Final = 64
"""Items that are filtered at first. Of a small category, most are far behind."""
_BOOSTED_KEPT: Final = 16
"""Orders of a popular list, of 16 bytes for each item; to sort 50,000 takes a millisecond."""


class _Popular(msgspec.Struct, frozen=True, gc=False):
    """The fields of a `Popular` that readers need."""

    item: int
    score: float


class _List(msgspec.Struct, frozen=True):
    """The fields of a `PopularList` that readers need."""

    model: str
    items: list[_Popular]
    is_whole: bool = False


_list: Final = msgspec.json.Decoder(_List, strict=False)  # items are strings there


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A popular list."""

    model: str
    items: Ints
    """(n,) most popular first"""
    scores: Floats
    """(n,)"""
    is_whole: bool
    """whether it has every item with counts"""
    first: Sequence[tuple[int, float]]
    """the first ones again: most answers need no others"""
    _boosted: "WeakKeyDictionary[Boosts, Ranked]" = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )
    """The list by some boosted scores, while the catalog has these boosts."""

    @classmethod
    def decode(cls, value: bytes) -> "Ranked":
        """Return a list from its value in Redis."""
        found = _list.decode(value)
        n = len(found.items)
        items = np.fromiter((popular.item for popular in found.items), np.int64, n)
        scores = np.fromiter((popular.score for popular in found.items), np.float64, n)
        first = [(popular.item, popular.score) for popular in found.items[:_FIRST]]
        return cls(found.model, items, scores, found.is_whole, first)

    def boosted(self, boosts: Boosts | None) -> "Ranked":
        """Return the list by boosted scores; of equal ones, the order stays."""
        if boosts is None:
            return self
        known = self._boosted.get(boosts)
        if known is None:
            if len(self._boosted) == _BOOSTED_KEPT:
                self._boosted.clear()
            scores = (self.scores * boosts.of(self.items)).round(SCORE_DECIMALS)
            order = np.argsort(-scores, kind="stable")
            items, scores = self.items[order], scores[order]
            columns = items[:_FIRST].tolist(), scores[:_FIRST].tolist()
            first = [*zip(*columns, strict=True)]
            known = replace(self, items=items, scores=scores, first=first)
            self._boosted[boosts] = known
        return known

    def shown(self, left_out: Collection[int], shown: Shown | None) -> Iterator[tuple[int, float]]:
        """Yield items and their scores, those that are not left out and may be shown."""
        start, size = 0, _FIRST
        if shown is None:
            yield from (pair for pair in self.first if pair[0] not in left_out)
            start, size = _FIRST, 4 * _FIRST
        while start < len(self.items):
            some = self.items[start : start + size]
            places = np.arange(len(some)) if shown is None else shown.of(some).nonzero()[0]
            scores = self.scores[start : start + size][places]
            for item, score in zip(some[places].tolist(), scores.tolist(), strict=True):
                if item not in left_out:
                    yield item, score
            start, size = start + size, 4 * size


class PopularItems:
    """Reads the popular list of a generation, once."""

    def __init__(self, keys: Keyspace, generations: Generations) -> None:
        self._keys = keys
        self._generations = generations
        self._kept: dict[str, Ranked] = {}

    def of(self, generation: Generation) -> Read[Ranked | None]:
        """Return the popular list of a generation; None if it is gone."""
        known = self._kept.get(generation.name)
        if known is not None:
            return known
        (value,) = yield [("GET", self._keys.model_popular(generation.name))]
        if value is None:
            return None
        live = self._generations.live
        kept = {name: ranked for name, ranked in self._kept.items() if name in live}
        found = kept[generation.name] = Ranked.decode(value)
        self._kept = kept
        return found
