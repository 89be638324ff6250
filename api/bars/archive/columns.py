"""Archived minutes of one instrument as columns: one row per minute, and roll-up. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from api.bars.aggregation import GREATEST, Minute, bucket_start
from contracts.messages import Floats, Ints


@dataclass(frozen=True, slots=True)
class MinuteColumns:
    """Minute bars, columns of one length n; the names are those of the table `bars`."""

    minute: Ints
    """start, epoch ms"""
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    count: Ints
    notional: Floats
    revision: Ints

    def __len__(self) -> int:
        return len(self.minute)

    @classmethod
    def joined(cls, parts: Sequence["MinuteColumns"]) -> "MinuteColumns":
        """Return the rows of all parts."""
        names = [field.name for field in fields(cls)]
        columns: dict[str, Any] = {
            name: np.concatenate([np.empty(0, np.int64), *(getattr(one, name) for one in parts)])
            for name in names
        }
        return cls(**columns)

    def take(self, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "MinuteColumns":
        """Return some of the rows, by place or by a mask."""
        return MinuteColumns(*(getattr(self, field.name)[which] for field in fields(self)))


def newest_revisions(rows: MinuteColumns, first_ms: int, end_ms: int) -> MinuteColumns:
    """Return the minutes that start in `[first_ms, end_ms)`, each in its highest revision.

    Args:
        rows: in any order; a minute may have several revisions, and several rows of one revision:
            the one with the most quotes wins, as the others come from a log that had lost the first
            quotes.
        first_ms: epoch ms.
        end_ms: epoch ms.
    """
    inside = rows.take((rows.minute >= first_ms) & (rows.minute < end_ms))
    ordered = inside.take(np.lexsort((inside.count, inside.revision, inside.minute)))
    is_last = np.append(ordered.minute[1:] != ordered.minute[:-1], True)[: len(ordered)]
    return ordered.take(is_last)


def partial_bars(minutes: MinuteColumns, interval_ms: int) -> list[tuple[int, Minute]]:
    """Return each bucket's start with the merged minutes in it, oldest first.

    Args:
        minutes: in order, without duplicates.
        interval_ms: length of a bucket.
    """
    if not len(minutes):
        return []
    buckets = bucket_start(minutes.minute, interval_ms)
    first = np.flatnonzero(np.append(True, buckets[1:] != buckets[:-1]))
    last = np.append(first[1:], len(buckets)) - 1
    with np.errstate(over="ignore"):
        volume, notional = (
            np.minimum(np.add.reduceat(column, first), GREATEST)
            for column in (minutes.volume, minutes.notional)
        )
    columns = (
        minutes.open[first],
        np.maximum.reduceat(minutes.high, first),
        np.minimum.reduceat(minutes.low, first),
        minutes.close[last],
        volume,
        np.add.reduceat(minutes.count, first),
        notional,
    )
    bars = map(Minute, *(column.tolist() for column in columns))
    return list(zip(buckets[first].tolist(), bars, strict=True))
