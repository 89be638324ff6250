"""A catalog in memory: by id, by symbol, and by word prefix. Pure.

A directory is immutable: a newer catalog gets a new one. It is built in steps, as the process must
answer requests at the same time.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from api.generations.listings import NewListings
from api.generations.popular import Ranked
from api.http.filters import ALL, Condition, Filter, parse_boost, parse_condition
from api.http.named import N
from api.instruments.attributes import Attributes, Value, index
from api.instruments.building import STEP, Building, Ranks, in_order, steps
from api.instruments.postings import NOTHING, Collected
from api.instruments.shown import Boosts, Mask, Numbers, Shown

_SPLIT: Final = STEP // 4
"""Instruments whose names are split into words per step: this takes the longest."""
_FILTERS_KEPT: Final = 256
"""Of a byte for each instrument; and as many boosts, of another."""
_NEW_MOST: Final = 1_000
"""New listings that are considered, those with the highest ids: newer ones mostly have these."""
_HIGHEST: Final = chr(0x10FFFF)
_DIGITS: Final = 19
"""Digits of the longest id."""
_place: Final = attrgetter("place")
_PARTS: Final = re.compile(r"\w+")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An instrument of the catalog."""

    instrument_id: int
    symbol: str
    name: str
    categories: tuple[str, ...]
    listed: bool
    attributes: Mapping[str, Value]

    @property
    def place(self) -> str:
        """The sort key: the symbol, ignoring case, and then the id."""
        return f"{self.symbol.casefold()} {self.instrument_id:0{_DIGITS}}"


class Wanted(NamedTuple):
    """The conditions of a search."""

    words: str = ""
    """each is a prefix of the symbol or of a word of the name"""
    filter: Filter = ALL
    listed: bool | None = None
    after: str | None = None
    """the sort key of the last instrument on the previous page"""


class Directory:
    """The instruments of one version of the catalog."""

    def __init__(self) -> None:
        """Create an empty directory; `build` returns one with instruments."""
        self.by_id: Mapping[int, Entry] = {}
        self._ranked: Sequence[Entry] = []
        """Sorted; an instrument's rank is its index here."""
        self._by_symbol: dict[str, int] = {}
        self._words = NOTHING
        self._categories = NOTHING
        self._attributes = Attributes({})
        self._listed = np.empty(0, np.bool_)
        """(n,) by rank"""
        self._numbers = Numbers(np.empty(0, np.int64))
        """1 + rank"""
        self._filters: dict[Filter, Shown] = {}
        self._boosts: dict[frozenset[str], Boosts] = {}
        self.all_listed = True

    @classmethod
    def build(cls, by_id: Mapping[int, Entry]) -> "Building[Directory]":
        """Build the directory of some instruments, given by id; the mapping is kept."""
        built = cls()
        built.by_id = by_id
        places = yield from in_order(entry.place for entry in by_id.values())
        ranked: list[Entry] = []
        listed = bytearray()
        for some in steps(places):
            entries = [by_id[int(place[-_DIGITS:])] for place in some]
            ranked += entries
            listed += bytes(entry.listed for entry in entries)
            yield
        del places
        built._ranked, built._listed = ranked, np.frombuffer(listed, np.bool_)
        built.all_listed = bool(built._listed.all())
        yield
        built._numbers = Numbers(np.array([entry.instrument_id for entry in ranked], np.int64))
        yield
        yield from built._index()
        return built

    def clear(self) -> Iterator[None]:
        """Clear the directory in steps, as freeing it at once takes long, too."""
        for name in vars(Directory()):
            delattr(self, name)
            yield

    def __len__(self) -> int:
        return len(self.by_id)

    def resolve(self, symbol: str) -> int | None:
        """Return the id of the instrument with a symbol, ignoring case; None if there is none.

        If several have it, listed ones come first, then the lowest id.
        """
        return self._by_symbol.get(symbol.casefold())

    def with_names(self, items: Sequence[N], *, names: bool) -> list[N]:
        """Return items of an answer with their symbols; with `names`, also with their names."""
        known = self.by_id.get
        return [
            item
            if (entry := known(item.instrument_id)) is None
            else replace(item, symbol=entry.symbol, name=entry.name if names else None)
            for item in items
        ]

    def shown(self, wanted: Filter) -> Shown | None:
        """Return which instruments are listed and meet a filter's conditions; None if all do.

        Instruments that the catalog does not know are shown, unless `category` or `filter` is
        given.
        """
        if self.all_listed and wanted == ALL:
            return None
        shown = self._filters.get(wanted)
        if shown is None:
            if len(self._filters) == _FILTERS_KEPT:
                self._filters.clear()
            may_be = self._listed & self._meeting_all(wanted)
            unknown = not (wanted.category or wanted.filter)
            shown = Shown(self._numbers, np.append(unknown, may_be))
            self._filters[wanted] = shown
        return shown

    def boosts(self, asked: frozenset[str]) -> Boosts | None:
        """Return the product of the factors of the boosts that an instrument gets; None: of none.

        Args:
            asked: up to 8 boosts, as texts.
        """
        if not asked:
            return None
        boosts = self._boosts.get(asked)
        if boosts is None:
            if len(self._boosts) == _FILTERS_KEPT:
                self._boosts.clear()
            met = np.zeros(1 + len(self._ranked), np.uint8)
            factors = np.ones(1)
            for text in sorted(asked):
                condition, factor = parse_boost(text)
                met[1:] += np.uint8(len(factors)) * self._meeting(condition)
                factors = np.concatenate((factors, factors * factor))
            boosts = self._boosts[asked] = Boosts(self._numbers, met, factors)
        return boosts

    def check(self, condition: Condition) -> None:
        """Raise a ValueError if an attribute cannot be compared in this way."""
        self._attributes.check(condition)

    def new_listings(self, popular: Ranked) -> NewListings:
        """Return the listed instruments that are not in a popular list, at most `_NEW_MOST`."""
        numbers = self._numbers.of_all(popular.items)
        counts = np.bincount(numbers, popular.scores, len(self._ranked) + 1)[1:]
        is_new = self._listed.copy()
        is_new[numbers[numbers > 0] - 1] = False
        newest = np.sort(self._numbers.ids[is_new])[: -_NEW_MOST - 1 : -1]
        of_category: dict[str, list[int]] = {}
        for item in newest.tolist():
            for category in self.by_id[item].categories:
                of_category.setdefault(category, []).append(item)
        total = float(popular.scores.sum()) or 1.0
        shares = {
            category: float(counts[self._categories.of(category)].sum()) / total
            for category in of_category
        }
        return NewListings(of_category, shares)

    def find(self, wanted: Wanted, n: int) -> list[Entry]:
        """Return the first `n` matching instruments, by symbol."""
        found = np.ones(len(self._ranked), np.bool_)
        if wanted.after is not None:
            found[: bisect_right(self._ranked, wanted.after, key=_place)] = False
        for word in wanted.words.casefold().split():
            found &= self._with_word(word)
        if wanted.filter != ALL:
            found &= self._meeting_all(wanted.filter)
        if wanted.listed is not None:
            found &= self._listed == wanted.listed
        return [self._ranked[rank] for rank in np.flatnonzero(found)[:n].tolist()]

    def _with_word(self, beginning: str) -> Mask:
        words = self._words.values
        first, last = bisect_left(words, beginning), bisect_right(words, beginning + _HIGHEST)
        return self._mask(self._words.between(first, last))

    def _in_categories(self, categories: frozenset[str]) -> Mask:
        return self._mask(*map(self._categories.of, categories))

    def _meeting_all(self, wanted: Filter) -> Mask:
        found = ~self._in_categories(wanted.exclude_category)
        if wanted.category:
            found &= self._in_categories(wanted.category)
        for text in wanted.filter:
            found &= self._meeting(parse_condition(text))
        return found

    def _meeting(self, condition: Condition) -> Mask:
        return self._mask(*self._attributes.meeting(condition))

    def _mask(self, *ranks: Ranks) -> Mask:
        mask = np.zeros(len(self._ranked), np.bool_)
        for some in ranks:
            mask[some] = True
        return mask

    def _index(self) -> Building[None]:
        categories = Collected[str]()
        for some in steps(enumerate(self._ranked)):
            for rank, entry in some:
                for category in entry.categories:
                    categories.add(category, rank)
                symbol = entry.symbol.casefold()
                known = self._by_symbol.setdefault(symbol, entry.instrument_id)
                if entry.listed and not self.by_id[known].listed:
                    self._by_symbol[symbol] = entry.instrument_id
            yield
        self._categories = yield from categories.postings()
        self._attributes = yield from index([entry.attributes for entry in self._ranked])
        words = Collected[str]()
        for some in steps(enumerate(self._ranked), _SPLIT):
            for rank, entry in some:
                for word in words_of(entry):
                    words.add(word, rank)
            yield
        self._words = yield from words.postings(self._by_symbol)


def words_of(entry: Entry) -> set[str]:
    """Return the search terms of an instrument: its symbol, and the words of its name.

    >>> sorted(words_of(Entry(4, "A.B", "Coca-Cola Co.", (), True, {})))
    ['a.b', 'co', 'co.', 'coca', 'coca-cola', 'cola']
    """
    words = {entry.symbol.casefold()}
    for word in entry.name.casefold().split():
        words.add(word)
        if not word.isalnum():
            words.update(_PARTS.findall(word))
    return words
