"""Reads the rows of one instrument from a Parquet file, and merges them to minutes and bars."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from api.bars.intervals import Interval
from api.redis.lru import LruCache
from contracts.bars import Column, Minute, fields_of, merge_runs, structs_of

_FIELDS: Final = fields_of(Minute)
COLUMNS: Final = ("minute", *(field.name for field in _FIELDS.values()), "revision")
"""Their names are those of the table `bars`; `minute` is the start, epoch ms."""

_LATER: Final = frozenset(field.name for field in _FIELDS.values() if field.is_optional)
"""Those that a file may lack, or have as nulls."""

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


_INSTRUMENT: Final = "instrument_id"
_FOOTERS: Final = 256
"""Kept, and at most twice as many: that of a day with thousands of instruments has some 100 KB."""
_ROWS: Final = 250_000
"""Kept, and at most twice as many, of 72 bytes each. A page that shows a chart requests the same
ones again and again."""
_ROWS_OF_AN_ENTRY: Final = 64
"""The overhead of a cache entry in rows, also of an instrument that a file does not contain."""


class Rows:
    """Caches recently read rows, as files never change."""

    def __init__(self) -> None:
        self._footers = LruCache[str, pq.FileMetaData](_FOOTERS)
        self._rows = LruCache[tuple[str, int], MinuteColumns](
            _ROWS, lambda rows: len(rows["minute"]) + _ROWS_OF_AN_ENTRY
        )

    def of(self, io: FileIO, path: str, instrument_id: int) -> MinuteColumns:
        """Return the rows of an instrument, in the file's order.

        Raises:
            OSError: the file cannot be read, or is gone.
            pyarrow.ArrowException: it is not a Parquet file with these columns.
        """
        found = self._rows.get((path, instrument_id))
        if found is None:
            found = self._read(io, path, instrument_id)
            self._rows.keep((path, instrument_id), found)
        return found

    def _read(self, io: FileIO, path: str, instrument_id: int) -> MinuteColumns:
        with (
            io.new_input(path).open() as stream,
            pq.ParquetFile(stream, metadata=self._footers.get(path)) as file,
        ):
            self._footers.keep(path, file.metadata)
            groups = _groups_with(file.metadata, instrument_id)
            found = file.read_row_groups(groups, [*COLUMNS, _INSTRUMENT], use_threads=False)
        for name in _LATER.difference(found.column_names):
            found = found.append_column(name, pa.nulls(found.num_rows, pa.float64()))
        own = found.filter(pc.equal(found.column(_INSTRUMENT), instrument_id))
        return {name: _values(own.column(name)) for name in COLUMNS}


def _groups_with(footer: pq.FileMetaData, instrument_id: int) -> list[int]:
    """Return the row groups that may have an instrument."""
    place = footer.schema.names.index(_INSTRUMENT)
    groups = range(footer.num_row_groups)
    bounds = [footer.row_group(group).column(place).statistics for group in groups]
    return [
        group
        for group, own in zip(groups, bounds, strict=True)
        if own is None or own.min <= instrument_id <= own.max
    ]


def _values(column: pa.ChunkedArray) -> Any:
    """Return a column as a NumPy array; times in epoch ms, 0 for null."""
    values = (pc.fill_null(column, 0) if column.null_count else column).to_numpy()
    return values.astype("datetime64[ms]").astype(np.int64) if values.dtype.kind == "M" else values
