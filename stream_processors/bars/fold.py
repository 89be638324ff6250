"""Folds quotes into minute bars, and merges bars: pure, on NumPy arrays.

A bar carries the marks of its open and close as well as their event times, so that `merge` is
commutative and associative, ties of event time included: the first quote by (`ts`, mark) opens, the
last one closes. Sums of sizes are exact while they are whole numbers below 2^53; on overflow they
stay at the largest float, as JSON has no infinity.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Floats, Ints

_GREATEST: Final = np.finfo(np.float64).max

BAR: Final = np.dtype(
    [
        ("key", np.int64),
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),
        ("notional", np.float64),  # sum of price x size
        ("count", np.int64),
        ("open_ts_ms", np.int64),
        ("open_mark", np.int64),
        ("close_ts_ms", np.int64),
        ("close_mark", np.int64),
        ("mark", np.int64),  # the greatest one folded in
    ]
)
"""A bar; `key` encodes its instrument and minute, see `stream_processors.bars.table`."""

Bars = npt.NDArray[np.void]
"""(n,) of dtype `BAR`"""


@np.errstate(over="ignore")
def fold_quotes(key: Ints, price: Floats, size: Floats, ts_ms: Ints, mark: Ints) -> Bars:
    """Return the bars of the quotes, one per key, by ascending key.

    Args:
        key: (n,) the bar that each quote belongs to.
        price: (n,)
        size: (n,)
        ts_ms: (n,) event time, epoch ms.
        mark: (n,) place in the log, any order.
    """
    order = np.lexsort((mark, ts_ms, key))
    key, price, size = key[order], price[order], size[order]
    ts_ms, mark = ts_ms[order], mark[order]
    is_first = np.empty(len(key), dtype=bool)
    is_first[:1] = True
    np.not_equal(key[1:], key[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(key)) - 1
    bars = np.empty(len(first), BAR)
    if not len(first):
        return bars
    bars["key"] = key[first]
    bars["open"] = price[first]
    bars["high"] = np.maximum.reduceat(price, first)
    bars["low"] = np.minimum.reduceat(price, first)
    bars["close"] = price[last]
    bars["volume"] = np.minimum(np.add.reduceat(size, first), _GREATEST)
    bars["notional"] = np.minimum(np.add.reduceat(price * size, first), _GREATEST)
    bars["count"] = last - first + 1
    bars["open_ts_ms"] = ts_ms[first]
    bars["open_mark"] = mark[first]
    bars["close_ts_ms"] = ts_ms[last]
    bars["close_mark"] = mark[last]
    bars["mark"] = np.maximum.reduceat(mark, first)
    return bars


@np.errstate(over="ignore")
def merge(a: Bars, b: Bars) -> Bars:
    """Merge bars of the same keys, pairwise: (n,) and (n,) to (n,)."""
    merged = a.copy()
    b_opens = _before(b["open_ts_ms"], b["open_mark"], a["open_ts_ms"], a["open_mark"])
    for name in ("open", "open_ts_ms", "open_mark"):
        merged[name] = np.where(b_opens, b[name], a[name])
    b_closes = _before(a["close_ts_ms"], a["close_mark"], b["close_ts_ms"], b["close_mark"])
    for name in ("close", "close_ts_ms", "close_mark"):
        merged[name] = np.where(b_closes, b[name], a[name])
    merged["high"] = np.maximum(a["high"], b["high"])
    merged["low"] = np.minimum(a["low"], b["low"])
    for name in ("volume", "notional"):
        merged[name] = np.minimum(a[name] + b[name], _GREATEST)
    merged["count"] += b["count"]
    merged["mark"] = np.maximum(a["mark"], b["mark"])
    return merged


def _before(ts_a: Ints, mark_a: Ints, ts_b: Ints, mark_b: Ints) -> npt.NDArray[np.bool_]:
    before: npt.NDArray[np.bool_] = (ts_a < ts_b) | ((ts_a == ts_b) & (mark_a < mark_b))
    return before
