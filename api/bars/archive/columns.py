"""Archived minutes of one instrument as columns: one row per minute, and roll-up. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from api.bars.intervals import Interval
from contracts.bars import Column, Minute, fields_of, merge_runs, structs_of

_FIELDS: Final = fields_of(Minute)
COLUMNS: Final = ("minute", *(field.name for field in _FIELDS.values()), "revision")
"""Their names are those of the table `bars`; `minute` is the start, epoch ms."""

MinuteColumns = Mapping[str, Column]
"""Minute bars: each of `COLUMNS`, of one length n."""


def joined(parts: Sequence[MinuteColumns]) -> MinuteColumns:
    """Return the rows of all parts."""
    nothing = np.empty(0, np.int64)
    return {name: np.concatenate([nothing, *(part[name] for part in parts)]) for name in COLUMNS}


def newest_revisions(rows: MinuteColumns, first_ms: int, end_ms: int) -> MinuteColumns:
    """Return the minutes that start in `[first_ms, end_ms)`, each in its highest revision.

    Args:
        rows: in any order; a minute may have several revisions, and several rows of one revision:
            the one with the most quotes wins, as the others come from a log that had lost the first
            quotes.
        first_ms: epoch ms.
        end_ms: epoch ms.
    """
    inside = _take(rows, (rows["minute"] >= first_ms) & (rows["minute"] < end_ms))
    ordered = _take(inside, np.lexsort((inside["count"], inside["revision"], inside["minute"])))
    minute = ordered["minute"]
    return _take(ordered, np.append(minute[1:] != minute[:-1], True)[: len(minute)])


def partial_bars(minutes: MinuteColumns, interval: Interval) -> list[tuple[int, Minute]]:
    """Return each bucket's start with the merged minutes in it, oldest first.

    Args:
        minutes: in order, without duplicates.
        interval: of the buckets.
    """
    minutes = _take(minutes, interval.rows(minutes["minute"]))
    if not len(minutes["minute"]):
        return []
    buckets = interval.start_of(minutes["minute"])
    first = np.flatnonzero(np.append(True, buckets[1:] != buckets[:-1]))
    last = np.append(first[1:], len(buckets)) - 1
    with np.errstate(over="ignore"):
        columns = {
            letter: merge_runs(field.merge, minutes[field.name], first, last)
            for letter, field in _FIELDS.items()
        }
    return list(zip(buckets[first].tolist(), structs_of(Minute, columns), strict=True))


def _take(
    rows: MinuteColumns, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice
) -> MinuteColumns:
    return {name: column[which] for name, column in rows.items()}
