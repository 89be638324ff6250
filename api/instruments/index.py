"""The index of a version of the catalog: by symbol, word, category and attribute. Pure."""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isfinite
from typing import Any, Final

import msgspec
import numpy as np

from api.http.filters import NO_SUCH_ATTRIBUTE, Condition, Filter, parse_condition
from api.http.parameters import DECIMAL
from api.instruments.postings import (
    NOTHING,
    STEP,
    Building,
    Collected,
    Postings,
    Ranks,
    in_order,
    steps,
)
from api.instruments.visibility import Boosts, Mask, Numbers, Shown
from contracts.instruments import Operator

Value = bool | int | float | str

INDEXED: Final = 200
"""Attributes: those that most instruments have. An index takes up to 16 bytes for each value."""


def _number(text: str) -> int | float | None:
    if not DECIMAL.fullmatch(text):
        return None
    if text.lstrip("-").isdigit():
        return int(text)  # a float has no more than 53 bits
    return number if isfinite(number := float(text)) else None


_KIND_OF: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
}
_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "true or false": {"true": True, "false": False}.get,
    "a number": _number,
    "text": str,
}
"""Reads a value to compare with by the kind of an attribute's values; None if it is of no such."""
_ORDERED: Final = frozenset({"a number", "text"})

_INSTRUMENTS_AT_ONCE: Final = STEP // 4
"""Instruments with several attributes each."""

_Places = tuple[tuple[int, int], ...]
_RANGES: Final[Mapping[Operator, Callable[[int, int, int], _Places]]] = {
    "eq": lambda first, last, _: ((first, last),),
    "ne": lambda first, last, n: ((0, first), (last, n)),
    "lt": lambda first, _, __: ((0, first),),
    "le": lambda _, last, __: ((0, last),),
    "gt": lambda _, last, n: ((last, n),),
    "ge": lambda first, _, n: ((first, n),),
    "in": lambda first, last, _: ((first, last),),
}
"""Where the values are that meet a condition: of n sorted ones, those from `first` up to, without,
`last` are equal to the one to compare with."""
_EQUALITY: Final = frozenset({"eq", "ne", "in"})


class Attributes:
    """The instruments by the values of their attributes, so that conditions on them are cheap.

    An attribute may be a number of one instrument and a text of another: each compares by the kind
    of its own value. An instrument without the attribute meets no condition on it.
    """

    def __init__(self, indexed: Mapping[str, Mapping[str, Postings[Any]]]) -> None:
        """Create an index; `indexed`: the postings of each kind of values of each attribute."""
        self._indexed = indexed

    def check(self, condition: Condition) -> None:
        """Check a condition.

        Raises:
            ValueError: no instrument has the attribute, or it cannot be compared so.
        """
        attribute, operator, values = condition
        kinds = self._indexed.get(attribute)
        if kinds is None:
            raise ValueError(NO_SUCH_ATTRIBUTE)
        comparable = [kind for kind in kinds if operator in _EQUALITY or kind in _ORDERED]
        if not comparable:
            raise ValueError(f"must compare {attribute}, which has no order, by eq, ne or in")
        for value in values:
            if all(_READ[kind](value) is None for kind in comparable):
                raise ValueError(f"must compare {attribute} with {' or '.join(comparable)}")

    def meeting(self, condition: Condition) -> Iterator[Ranks]:
        """Yield the ranks of the instruments that meet a condition, in parts."""
        attribute, operator, values = condition
        for kind, postings in self._indexed.get(attribute, {}).items():
            for value in values:
                for first, last in _places(operator, kind, value, postings.values):
                    yield postings.between(first, last)


def _places(operator: Operator, kind: str, text: str, values: Sequence[Any]) -> _Places:
    value = _READ[kind](text)
    if value is None:  # equal to none of them, and not comparable by order
        return ((0, len(values)),) if operator == "ne" else ()
    if operator not in _EQUALITY and kind not in _ORDERED:
        return ()
    first, last = bisect_left(values, value), bisect_right(values, value)
    return _RANGES[operator](first, last, len(values))


def index_attributes(of_instruments: Sequence[Mapping[str, Value]]) -> Building[Attributes]:
    """Build the index of attributes, given those of each instrument in the order of ranks."""
    counts = Counter[str]()
    for some in steps(of_instruments):
        counts.update(chain.from_iterable(filter(None, some)))
        yield
    chosen = {name for name, _ in counts.most_common(INDEXED)}
    indexed: dict[str, dict[str, Collected[Any]]] = {name: {} for name in chosen}
    of_type: dict[tuple[str, type], Collected[Any]] = {}
    for numbered in steps(enumerate(of_instruments), _INSTRUMENTS_AT_ONCE):
        for rank, attributes in numbered:
            for name, value in attributes.items():
                collected = of_type.get((name, value.__class__))
                if collected is None:
                    if name not in chosen:
                        continue
                    kind = _KIND_OF[value.__class__]
                    collected = indexed[name].setdefault(kind, Collected())
                    of_type[name, value.__class__] = collected
                collected.add(value, rank)
        yield
    built: dict[str, dict[str, Postings[Any]]] = {}
    for name, kinds in indexed.items():
        built[name] = {}
        for kind, collected in kinds.items():
            built[name][kind] = yield from collected.postings()
    return Attributes(built)


_SPLIT: Final = STEP // 4
"""Instruments whose names are split into words per step: this takes the longest."""
_HIGHEST: Final = chr(0x10FFFF)
_DIGITS: Final = 19
"""Digits of the longest id."""
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


@dataclass(slots=True, eq=False)
class Index:
    """The instruments of one version of the catalog, which never change."""

    by_id: Mapping[int, Entry] = field(default_factory=dict)
    ranked: Sequence[Entry] = ()
    """sorted; an instrument's rank is its index here"""
    by_symbol: dict[str, int] = field(default_factory=dict)
    words: Postings[str] = NOTHING
    categories: Postings[str] = NOTHING
    attributes: Attributes = field(default_factory=lambda: Attributes({}))
    listed: Mask = field(default_factory=lambda: np.empty(0, np.bool_))
    """(n,) by rank"""
    numbers: Numbers = field(default_factory=lambda: Numbers(np.empty(0, np.int64)))
    """1 + rank"""
    all_listed: bool = True
    filters: dict[Filter, Shown] = field(default_factory=dict)
    boosts: dict[frozenset[str], Boosts] = field(default_factory=dict)

    @classmethod
    def build(cls, by_id: Mapping[int, Entry]) -> "Building[Index]":
        """Build the index of some instruments, given by id; the mapping is kept."""
        places = yield from in_order(entry.place for entry in by_id.values())
        ranked: list[Entry] = []
        listed = bytearray()
        for some in steps(places):
            entries = [by_id[int(place[-_DIGITS:])] for place in some]
            ranked += entries
            listed += bytes(entry.listed for entry in entries)
            yield
        del places
        built = cls(by_id, ranked, listed=np.frombuffer(listed, np.bool_))
        built.all_listed = bool(built.listed.all())
        yield
        built.numbers = Numbers(np.array([entry.instrument_id for entry in ranked], np.int64))
        yield
        categories = Collected[str]()
        for numbered in steps(enumerate(ranked)):
            for rank, entry in numbered:
                for category in entry.categories:
                    categories.add(category, rank)
                symbol = entry.symbol.casefold()
                known = built.by_symbol.setdefault(symbol, entry.instrument_id)
                if entry.listed and not by_id[known].listed:
                    built.by_symbol[symbol] = entry.instrument_id
            yield
        built.categories = yield from categories.postings()
        built.attributes = yield from index_attributes([entry.attributes for entry in ranked])
        words = Collected[str]()
        for numbered in steps(enumerate(ranked), _SPLIT):
            for rank, entry in numbered:
                for word in words_of(entry):
                    words.add(word, rank)
            yield
        built.words = yield from words.postings(built.by_symbol)
        return built

    def clear(self) -> Iterator[None]:
        """Clear the index in steps, as freeing it at once takes long, too."""
        for name in self.__slots__:
            delattr(self, name)
            yield

    def with_word(self, beginning: str) -> Mask:
        """Return which instruments have a word that begins so, (n,) by rank."""
        words = self.words.values
        first, last = bisect_left(words, beginning), bisect_right(words, beginning + _HIGHEST)
        return self._mask(self.words.between(first, last))

    def meeting(self, condition: Condition) -> Mask:
        """Return which instruments meet a condition, (n,) by rank."""
        return self._mask(*self.attributes.meeting(condition))

    def meeting_all(self, wanted: Filter) -> Mask:
        """Return which instruments meet all conditions of a filter, (n,) by rank."""
        found = ~self._in_categories(wanted.exclude_category)
        if wanted.category:
            found &= self._in_categories(wanted.category)
        for text in wanted.filter:
            found &= self.meeting(parse_condition(text))
        return found

    def _in_categories(self, categories: frozenset[str]) -> Mask:
        return self._mask(*map(self.categories.of, categories))

    def _mask(self, *ranks: Ranks) -> Mask:
        mask = np.zeros(len(self.ranked), np.bool_)
        for some in ranks:
            mask[some] = True
        return mask
