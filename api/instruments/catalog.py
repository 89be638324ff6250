"""The catalog in memory, which all requests read, and `refresh` replaces. Pure.

Its index never changes: another version gets a new one, built in steps, as the process must answer
requests at the same time.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from api.http.filters import ALL, Condition, Filter, parse_boost
from api.http.instrument_refs import N
from api.http.problems import STORE_UNAVAILABLE, Problem
from api.instruments.index import Entry, Index, Value
from api.instruments.popular import Ranked
from api.instruments.postings import Building
from api.instruments.visibility import Boosts, Shown

_FILTERS_KEPT: Final = 256
"""Of a byte for each instrument; and as many boosts, of another."""
_NEW_MOST: Final = 1_000
"""New listings that are considered, those with the highest ids: newer ones mostly have these."""
_UNKNOWN: Final = "The catalog could not be read from Redis yet: try again in a second"
_place: Final = attrgetter("place")


class Wanted(NamedTuple):
    """The conditions of a search."""

    words: str = ""
    """each is a prefix of the symbol or of a word of the name"""
    filter: Filter = ALL
    listed: bool | None = None
    after: str | None = None
    """the sort key of the last instrument on the previous page"""


@dataclass(frozen=True, slots=True)
class NewListings:
    """The new listings of one version of the catalog, as of one generation."""

    of_category: Mapping[str, Sequence[int]]
    """those with the highest ids first; a category without any is not in it"""
    shares: Mapping[str, float]
    """of these categories: their share of all counts"""


class Catalog:
    """The instruments of a namespace, as of the last time that they were read."""

    def __init__(self) -> None:
        self._index = Index()
        self.version = 0
        """changes with every change of the catalog; 0: it is empty"""
        self.is_known = False
        """whether it was read at all"""

    def __len__(self) -> int:
        return len(self._index.by_id)

    def replace(self, by_id: Mapping[int, Entry]) -> Building[None]:
        """Have these instruments instead, given by id, once their index is built."""
        built = yield from Index.build(by_id)
        replaced, self._index = self._index, built
        self.version += 1
        self.is_known = True
        yield from replaced.clear()

    @property
    def _known(self) -> Index:
        """The index.

        Raises:
            Problem: the catalog could not be read from Redis yet.
        """
        if not self.is_known:
            raise Problem(STORE_UNAVAILABLE, _UNKNOWN)
        return self._index

    def entry(self, instrument_id: int) -> Entry | None:
        """Return an instrument, None if the catalog does not have it."""
        return self._known.by_id.get(instrument_id)

    def resolve(self, symbol: str) -> int | None:
        """Return the id of the instrument with a symbol, ignoring case; None if there is none.

        If several have it, listed ones come first, then the lowest id.
        """
        return self._known.by_symbol.get(symbol.casefold())

    def check(self, condition: Condition) -> None:
        """Raise a ValueError if an attribute cannot be compared in this way."""
        self._known.attributes.check(condition)

    def instruments(self) -> Collection[int]:
        """Return the ids of the instruments, none before the catalog was read."""
        return self._index.by_id.keys()

    def attributes(self, item: int) -> Mapping[str, Value] | None:
        """Return the attributes of an instrument, None if the catalog does not have it."""
        entry = self._index.by_id.get(item)
        return entry.attributes if entry else None

    def all_attributes(self) -> Iterator[Mapping[str, Value]]:
        """Yield the attributes of each instrument that has any."""
        return (entry.attributes for entry in self._index.by_id.values() if entry.attributes)

    def categories(self, item: int) -> Collection[str]:
        """Return the categories of an instrument, none if the catalog does not have it."""
        entry = self._index.by_id.get(item)
        return entry.categories if entry else ()

    def with_names(self, items: Sequence[N], *, names: bool) -> list[N]:
        """Return items of an answer with their symbols; with `names`, also with their names."""
        known = self._index.by_id.get
        return [
            item
            if (entry := known(item.instrument_id)) is None
            else replace(item, symbol=entry.symbol, name=entry.name if names else None)
            for item in items
        ]

    def page(
        self, items: Sequence[N], wanted: Filter, n: int, offset: int = 0, *, names: bool
    ) -> list[N]:
        """Return the `n` items from `offset` on that a filter shows, as `with_names` does."""
        shown = self.shown(wanted)
        if shown is not None:
            items = [*islice((one for one in items if shown(one.instrument_id)), offset + n)]
        return self.with_names(items[offset : offset + n], names=names)

    def shown(self, wanted: Filter) -> Shown | None:
        """Return which instruments are listed and meet a filter's conditions; None if all do.

        Instruments that the catalog does not know are shown, unless `category` or `filter` is
        given.
        """
        index = self._known
        if index.all_listed and wanted == ALL:
            return None
        shown = index.filters.get(wanted)
        if shown is None:
            if len(index.filters) == _FILTERS_KEPT:
                index.filters.clear()
            may_be = index.listed & index.meeting_all(wanted)
            unknown = not (wanted.category or wanted.filter)
            shown = index.filters[wanted] = Shown(index.numbers, np.append(unknown, may_be))
        return shown

    def boosts(self, asked: frozenset[str]) -> Boosts | None:
        """Return the product of the factors of the boosts that an instrument gets; None: of none.

        Args:
            asked: up to 8 boosts, as texts.
        """
        index = self._known
        if not asked:
            return None
        boosts = index.boosts.get(asked)
        if boosts is None:
            if len(index.boosts) == _FILTERS_KEPT:
                index.boosts.clear()
            met = np.zeros(1 + len(index.ranked), np.uint8)
            factors = np.ones(1)
            for text in sorted(asked):
                condition, factor = parse_boost(text)
                met[1:] += np.uint8(len(factors)) * index.meeting(condition)
                factors = np.concatenate((factors, factors * factor))
            boosts = index.boosts[asked] = Boosts(index.numbers, met, factors)
        return boosts

    def new_listings(self, popular: Ranked) -> NewListings:
        """Return the listed instruments that are not in a popular list, at most `_NEW_MOST`."""
        index = self._known
        numbers = index.numbers.of_all(popular.items)
        counts = np.bincount(numbers, popular.scores, len(index.ranked) + 1)[1:]
        is_new = index.listed.copy()
        is_new[numbers[numbers > 0] - 1] = False
        newest = np.sort(index.numbers.ids[is_new])[: -_NEW_MOST - 1 : -1]
        of_category: dict[str, list[int]] = {}
        for item in newest.tolist():
            for category in index.by_id[item].categories:
                of_category.setdefault(category, []).append(item)
        total = float(popular.scores.sum()) or 1.0
        shares = {
            category: float(counts[index.categories.of(category)].sum()) / total
            for category in of_category
        }
        return NewListings(of_category, shares)

    def find(self, wanted: Wanted, n: int) -> list[Entry]:
        """Return the first `n` matching instruments, by symbol."""
        index = self._known
        found = np.ones(len(index.ranked), np.bool_)
        if wanted.after is not None:
            found[: bisect_right(index.ranked, wanted.after, key=_place)] = False
        for word in wanted.words.casefold().split():
            found &= index.with_word(word)
        if wanted.filter != ALL:
            found &= index.meeting_all(wanted.filter)
        if wanted.listed is not None:
            found &= index.listed == wanted.listed
        return [index.ranked[rank] for rank in np.flatnonzero(found)[:n].tolist()]
