"""Folds quotes into minute bars, and merges bars: pure, on NumPy arrays.

A bar carries the marks of its open and close as well as their event times, so that `merge` is
commutative and associative, ties of event time included: the first quote by (`ts`, mark) opens, the
last one closes. Sums of sizes are exact while they are whole numbers below 2^53; on overflow they
stay at the largest float, as JSON has no infinity.
"""

from collections.abc import Callable
from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.bars import FIELDS, Column, Merge, capped, merge_runs
from contracts.messages import Ints, QuoteColumns

_COLUMNS: Final = [(field.name, field.of, field.merge) for field in FIELDS.values()]
_SOURCES: Final = {source for _, of, _ in _COLUMNS for source in of}
_MARKS: Final[dict[str, Merge]] = {"open_mark": "first", "close_mark": "last", "mark": "max"}
"""The places in the log of the quotes that open and close a bar, and the greatest one folded in."""
_MERGES: Final = {name: merge for name, _, merge in _COLUMNS} | _MARKS

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


@np.errstate(over="ignore")
def fold_quotes(key: Ints, quotes: QuoteColumns, mark: Ints) -> Bars:
    """Return the bars of the quotes, one per key, by ascending key.

    Args:
        key: (n,) the bar that each quote belongs to.
        quotes: n.
        mark: (n,) place in the log, any order.
    """
    order = np.lexsort((mark, quotes.ts_ms, key))
    key, mark = key[order], mark[order]
    is_first = np.empty(len(key), dtype=bool)
    is_first[:1] = True
    np.not_equal(key[1:], key[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    bars = np.empty(len(first), BAR)
    if not len(first):
        return bars
    last = np.append(first[1:], len(key)) - 1
    bars["key"] = key[first]
    ordered = {source: getattr(quotes, source)[order] for source in _SOURCES}
    for name, of, merge in _COLUMNS:
        if of:
            column = reduce(np.multiply, [ordered[source] for source in of])
            bars[name] = merge_runs(merge, column, first, last)
        else:
            bars[name] = last - first + 1
    for name, merge in _MARKS.items():
        bars[name] = merge_runs(merge, mark, first, last)
    return bars


@np.errstate(over="ignore")
def merge(a: Bars, b: Bars) -> Bars:
    """Merge bars of the same keys, pairwise: (n,) and (n,) to (n,)."""
    merged = a.copy()
    b_opens = _before(b["open_ts"], b["open_mark"], a["open_ts"], a["open_mark"])
    b_closes = _before(a["close_ts"], a["close_mark"], b["close_ts"], b["close_mark"])
    ways: dict[Merge, Callable[[Column, Column], Column]] = {
        "first": lambda of_a, of_b: np.where(b_opens, of_b, of_a),
        "last": lambda of_a, of_b: np.where(b_closes, of_b, of_a),
        "max": np.maximum,
        "min": np.minimum,
        "sum": lambda of_a, of_b: capped(of_a + of_b),
    }
    for name, way in _MERGES.items():
        merged[name] = ways[way](a[name], b[name])
    return merged


def _before(ts_a: Ints, mark_a: Ints, ts_b: Ints, mark_b: Ints) -> npt.NDArray[np.bool_]:
    before: npt.NDArray[np.bool_] = (ts_a < ts_b) | ((ts_a == ts_b) & (mark_a < mark_b))
    return before
