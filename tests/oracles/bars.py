"""The bar of some quotes: what it must be, wherever it was folded, merged, stored or read."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts.bars import FIELDS, BarField, BarValue
from contracts.log_position import LogPosition


class Placed(NamedTuple):
    """A quote and its place in the log."""

    place: LogPosition
    quote: Mapping[str, Any]
    """as its record has it"""


def in_order(quotes: Iterable[Placed]) -> list[Placed]:
    """Return quotes by event time, ties by the place."""
    return sorted(quotes, key=lambda placed: (placed.quote["ts"], placed.place))


MERGES: Final[dict[str, Any]] = {
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "max": max,
    "min": min,
    "sum": sum,
}


def value_of(field: BarField, ordered: Sequence[Placed]) -> Any:
    """Return the value of a bar's field, given its quotes in order."""
    return MERGES[field.merge](
        [math.prod(placed.quote.get(name, 0) for name in field.of) for placed in ordered]
    )


def bar_of(quotes: Iterable[Placed]) -> BarValue:
    """Return the bar of quotes in any order.

    >>> later, first = (LogPosition(0, offset) for offset in (1, 0))
    >>> bar_of([Placed(later, {"ts": 5, "price": 2.0}), Placed(first, {"ts": 5, "price": 3.0})]).c
    2.0
    """
    ordered = in_order(quotes)
    values = {letter: value_of(field, ordered) for letter, field in FIELDS.items()}
    return BarValue(**values, off=max(placed.place for placed in ordered))
