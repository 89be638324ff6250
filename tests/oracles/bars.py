"""The bar of some quotes: what it must be, wherever it was folded, merged, stored or read."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from contracts.bars import FIELDS, BarField, BarValue
from contracts.log_position import LogPosition


class Placed(NamedTuple):
    """A quote and its place in the log; sorts by event time, ties by the place."""

    ts_ms: int
    place: LogPosition
    price: float
    size: float


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
        [math.prod(getattr(quote, source) for source in field.of) for quote in ordered]
    )


def bar_of(quotes: Iterable[Placed]) -> BarValue:
    """Return the bar of quotes in any order.

    >>> later, first = (LogPosition(0, offset) for offset in (1, 0))
    >>> bar_of([Placed(5, later, 2.0, 1.0), Placed(5, first, 3.0, 4.0)]).c
    2.0
    """
    ordered = sorted(quotes)
    values = {letter: value_of(field, ordered) for letter, field in FIELDS.items()}
    return BarValue(**values, off=max(quote.place for quote in ordered))
