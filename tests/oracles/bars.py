"""The bar of some quotes: what it must be, wherever it was folded, merged, stored or read."""

from collections.abc import Iterable
from typing import NamedTuple

from contracts.bars import BarValue
from contracts.log_position import LogPosition


class Placed(NamedTuple):
    """A quote and its place in the log; sorts by event time, ties by the place."""

    ts_ms: int
    place: LogPosition
    price: float
    size: float


def bar_of(quotes: Iterable[Placed]) -> BarValue:
    """Return the bar of quotes in any order.

    >>> later, first = (LogPosition(0, offset) for offset in (1, 0))
    >>> bar_of([Placed(5, later, 2.0, 1.0), Placed(5, first, 3.0, 4.0)]).c
    2.0
    """
    ordered = sorted(quotes)
    first, last = ordered[0], ordered[-1]
    return BarValue(
        o=first.price,
        h=max(quote.price for quote in ordered),
        l=min(quote.price for quote in ordered),
        c=last.price,
        v=sum(quote.size for quote in ordered),
        n=len(ordered),
        pv=sum(quote.price * quote.size for quote in ordered),
        ot=first.ts_ms,
        ct=last.ts_ms,
        off=max(quote.place for quote in ordered),
    )
