"""Folds quotes into minute bars: pure, on NumPy arrays.

A bar carries the marks of its open and close as well as their event times, so that the order in
which quotes are folded does not matter, ties of event time included: the first quote by (`ts`,
mark) opens, the last one closes. Sums are made one quote after another, so however a log is cut
into batches, its replay gives the same bits. Sums of sizes are exact while they are whole numbers
below 2^53; on overflow they stay at the largest float, as JSON has no infinity.
"""

from functools import reduce
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from contracts.bars import FIELDS, capped
from contracts.batches import QuoteColumns
from contracts.messages import Ints

_MARKS: Final = ("open_mark", "close_mark", "mark")
"""The places in the log of the quotes that open and close a bar, and the greatest one folded in."""

BAR: Final = np.dtype(
    [
        ("key", np.int64),
        *((field.name, field.dtype) for field in FIELDS.values()),
        *((name, np.int64) for name in _MARKS),
    ]
)
"""A bar; `key` encodes its instrument and minute, see `stream_processors.bars.table`."""

Bars = npt.NDArray[np.void]
"""(n,) of dtype `BAR`"""

_LATEST: Final = np.iinfo(np.int64).max
_EARLIEST: Final = -1


def bars_without_quotes(key: Ints) -> Bars:
    """Return bars into which nothing is folded yet, (n,), by their keys."""
    bars = np.zeros(len(key), BAR)
    bars["key"] = key
    for field in FIELDS.values():
        if field.merge in ("max", "min"):
            bars[field.name] = -np.inf if field.merge == "max" else np.inf
    bars["open_ts"] = bars["open_mark"] = _LATEST
    bars["close_ts"] = bars["close_mark"] = bars["mark"] = _EARLIEST
    return bars


@np.errstate(over="ignore")
def fold_quotes(bars: Bars, row: Ints, quotes: QuoteColumns, mark: Ints) -> None:
    """Fold quotes into bars.

    Args:
        bars: changed in place.
        row: (n,) of the bar that each quote belongs to.
        quotes: n.
        mark: (n,) place in the log, any order.
    """
    opening = _best(bars, row, quotes.ts_ms, mark, "open")
    closing = _best(bars, row, quotes.ts_ms, mark, "close")
    for field in FIELDS.values():
        sources: list[Any] = [quotes.columns[source] for source in field.of]
        column: Any = reduce(np.multiply, sources, 1)
        match field.merge:
            case "first":
                bars[field.name][row[opening]] = column[opening]
            case "last":
                bars[field.name][row[closing]] = column[closing]
            case "max":
                np.maximum.at(bars[field.name], row, column)
            case "min":
                np.minimum.at(bars[field.name], row, column)
            case "sum":
                sums = bars[field.name]
                np.add.at(sums, row, column)
                if field.kind == "amount":
                    sums[row] = capped(sums[row])
    np.maximum.at(bars["mark"], row, mark)


def _best(bars: Bars, row: Ints, ts_ms: Ints, mark: Ints, end: Literal["open", "close"]) -> Ints:
    """Return the places of the quotes that open or close their bars from now on; note where."""
    bar_ts, bar_mark = bars[f"{end}_ts"], bars[f"{end}_mark"]
    better, best, worst = (
        (np.less, np.minimum, _LATEST) if end == "open" else (np.greater, np.maximum, _EARLIEST)
    )
    of_row = bar_ts[row]
    is_better = better(ts_ms, of_row) | ((ts_ms == of_row) & better(mark, bar_mark[row]))
    at = np.flatnonzero(is_better)
    best.at(bar_ts, row[at], ts_ms[at])
    at = at[ts_ms[at] == bar_ts[row[at]]]
    bar_mark[row[at]] = worst
    best.at(bar_mark, row[at], mark[at])
    found: Ints = at[mark[at] == bar_mark[row[at]]]
    return found
