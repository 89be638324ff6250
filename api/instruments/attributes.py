"""The attributes of a catalog's instruments, indexed, so that conditions on them are cheap. Pure.

An attribute may be a number of one instrument and a text of another: each compares by the kind of
its own value. An instrument without the attribute meets no condition on it.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Any, Final

from api.http.filters import NO_SUCH_ATTRIBUTE, Condition
from api.http.parameters import DECIMAL
from api.instruments.building import STEP, Building, Ranks, steps
from api.instruments.postings import Collected, Postings
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

_AT_ONCE: Final = STEP // 4
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
    """The instruments by the values of their attributes."""

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


def index(of_instruments: Sequence[Mapping[str, Value]]) -> Building[Attributes]:
    """Build the index of attributes, given those of each instrument in the order of ranks."""
    counts = Counter[str]()
    for some in steps(of_instruments):
        counts.update(chain.from_iterable(filter(None, some)))
        yield
    chosen = {name for name, _ in counts.most_common(INDEXED)}
    indexed: dict[str, dict[str, Collected[Any]]] = {name: {} for name in chosen}
    of_type: dict[tuple[str, type], Collected[Any]] = {}
    for numbered in steps(enumerate(of_instruments), _AT_ONCE):
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
