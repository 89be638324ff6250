"""Reads the rows of one instrument from a Parquet file, skipping the other row groups."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from api.bars.archive.columns import COLUMNS, MinuteColumns
from api.redis.lately import Lately

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
        self._footers = Lately[str, pq.FileMetaData](_FOOTERS)
        self._rows = Lately[tuple[str, int], MinuteColumns](
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
    """Return a column as a NumPy array; times in epoch ms."""
    values = column.to_numpy()
    return values.astype("datetime64[ms]").astype(np.int64) if values.dtype.kind == "M" else values
