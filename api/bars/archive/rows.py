"""Reads the rows of one instrument from a Parquet file, skipping the other row groups."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from api.bars.archive.columns import COLUMNS, MinuteColumns

_INSTRUMENT: Final = "instrument_id"
_FOOTERS: Final = 512
"""The footer of a day with thousands of instruments has some 100 KB."""
_ROWS: Final = 500_000
"""Of 72 bytes each. A page that shows a chart requests the same ones again and again."""
_ROWS_OF_AN_ENTRY: Final = 64
"""The overhead of a cache entry in rows, also of an instrument that a file does not contain."""

V = TypeVar("V")


class Rows:
    """Caches recently read rows, as files never change; thread-safe."""

    def __init__(self) -> None:
        self._footers = _Recent[pq.FileMetaData](_FOOTERS)
        self._rows = _Recent[MinuteColumns](_ROWS)

    def of(self, io: FileIO, path: str, instrument_id: int) -> MinuteColumns:
        """Return the rows of an instrument, in the file's order.

        Raises:
            OSError: the file cannot be read, or is gone.
            pyarrow.ArrowException: it is not a Parquet file with these columns.
        """
        found = self._rows.get((path, instrument_id))
        if found is None:
            found = self._read(io, path, instrument_id)
            self._rows.put(
                (path, instrument_id), found, size=len(found["minute"]) + _ROWS_OF_AN_ENTRY
            )
        return found

    def _read(self, io: FileIO, path: str, instrument_id: int) -> MinuteColumns:
        with (
            io.new_input(path).open() as stream,
            pq.ParquetFile(stream, metadata=self._footers.get(path)) as file,
        ):
            self._footers.put(path, file.metadata)
            groups = _groups_with(file.metadata, instrument_id)
            found = file.read_row_groups(groups, [*COLUMNS, _INSTRUMENT], use_threads=False)
        own = found.filter(pc.equal(found.column(_INSTRUMENT), instrument_id))
        return {name: _values(own.column(name)) for name in COLUMNS}


class _Recent(Generic[V]):
    """A cache of the most recently used values, bounded by their total size."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._turn = threading.Lock()

    def get(self, key: Hashable) -> V | None:
        with self._turn:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: Hashable, value: V, size: int = 1) -> None:
        with self._turn:
            self._room += self._kept.pop(key, (None, 0))[1] - size
            self._kept[key] = (value, size)
            while self._room < 0:
                self._room += self._kept.popitem(last=False)[1][1]


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
    """Return a column as a NumPy array; times in epoch ms."""
    values = column.to_numpy()
    return values.astype("datetime64[ms]").astype(np.int64) if values.dtype.kind == "M" else values
