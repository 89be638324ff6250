"""Folds quotes into minute bars: pure, on NumPy arrays.

A bar carries the event times of its open and close: the first quote by (`ts`, mark) opens, the last
one closes. Quotes are folded in the log's order, so at a tie the open stays, and the later quote
closes. Sums are made one quote after another, so however a log is cut into batches, its replay
gives the same bits. Sums of sizes are exact while they are whole numbers below 2^53; on overflow
they stay at the largest float, as JSON has no infinity.
"""

from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.bars import FIELDS, capped
from contracts.batches import QuoteColumns
from contracts.messages import Ints

BAR: Final = np.dtype(
    [
        ("key", np.int64),
        *((field.name, field.dtype) for field in FIELDS.values()),
        ("mark", np.int64),
    ]
)
"""A bar; `key` encodes its instrument and minute, see `stream_processors.bars.table`; `mark` is the
place in the log of the last quote folded in."""

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
    bars["open_ts"] = _LATEST
    bars["close_ts"] = bars["mark"] = _EARLIEST
    return bars


@np.errstate(over="ignore")
def fold_quotes(bars: Bars, row: Ints, quotes: QuoteColumns, mark: Ints) -> None:
    """Fold quotes into bars.

    Args:
        bars: changed in place.
        row: (n,) of the bar that each quote belongs to.
        quotes: n.
        mark: (n,) place in the log, ascending, above that of the quote's bar.
    """
    ts_ms, open_ts, close_ts = quotes.ts_ms, bars["open_ts"], bars["close_ts"]
    opening = np.flatnonzero(ts_ms < open_ts[row])
    np.minimum.at(open_ts, row[opening], ts_ms[opening])
    # If several are assigned to a bar, the last one stays.
    opening = opening[ts_ms[opening] == open_ts[row[opening]]][::-1]
    np.maximum.at(close_ts, row, ts_ms)
    closing = np.flatnonzero(ts_ms == close_ts[row])
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
    bars["mark"][row] = mark
