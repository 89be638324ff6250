"""The rows of a snapshot in batches, with added columns for what a row alone does not show."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from contracts.archive import PLACE, ArchiveTable
from contracts.messages import Ints
from runtime.archive.catalog import ArchiveError
from runtime.archive.data_files import columns_of, opened, rows_in
from runtime.archive.positions import Position
from runtime.archive.tables import files_of, positions_of

PLACE_IS_NEW: Final = "place_is_new"
PLACE_IS_COVERED: Final = "place_is_covered"
BYTES: Final = "_bytes"
"""What the name of a column of texts is followed by, for the lengths of its UTF-8."""
ROWS_AT_ONCE: Final = 500_000
"""Some 300 MB with what is made of them; a file of 128 MB has twenty million rows."""
_NOWHERE: Final = -1
"""Stands for a null in a place."""
_CHUNK: Final = 65_536
"""Offsets whose bits share a chunk: rows of a file are close together in the log."""


def batches(found: Table, table: ArchiveTable, snapshot: Snapshot) -> Iterator[pd.DataFrame]:
    """Yield the rows of a snapshot, with the columns that `expectations` needs besides.

    Memory is that of twice `ROWS_AT_ONCE` rows, and a bit a record.

    Raises:
        ArchiveError: a file cannot be read, or has deleted rows in it; names it.
        PositionsError: how far the snapshot goes is unknown.
    """
    positions = positions_of(found, table, snapshot)
    places = Places()
    for rows in _joined(found, table, snapshot):
        frame = rows.to_pandas()
        place = [np.asarray(pc.fill_null(rows[n], _NOWHERE).to_numpy(), np.int64) for n in PLACE]
        frame[PLACE_IS_COVERED] = _covered(positions, *place)
        frame[PLACE_IS_NEW] = places.add(*place)
        for column in table.columns:
            if column.type == "string":
                frame[f"{column.name}{BYTES}"] = pc.binary_length(rows[column.name]).to_pandas()
        yield frame


class Places:
    """The places seen so far: a bit for each offset."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, npt.NDArray[np.uint8]] = {}

    def add(self, log: Ints, partition: Ints, offset: Ints) -> npt.NDArray[np.bool_]:
        """Remember the places of some rows, columns (n,), and return (n,) which ones are new.

        Of several rows with one place, the first is.
        """
        places = pd.DataFrame({"log": log, "partition": partition, "chunk": offset // _CHUNK})
        is_new = ~places.assign(offset=offset).duplicated().to_numpy()
        for key, rows in places.groupby([*places]).indices.items():
            at = offset[rows] % _CHUNK
            seen = self._seen.get(key, np.zeros(_CHUNK // 8, np.uint8))
            bits = np.unpackbits(seen).view(np.bool_)
            is_new[rows] &= ~bits[at]
            bits[at] = True
            self._seen[key] = np.packbits(bits)
        return is_new


def _covered(
    positions: Mapping[int, Position], log: Ints, partition: Ints, offset: Ints
) -> npt.NDArray[np.bool_]:
    """Return (n,) which places, columns (n,), are before the positions."""
    is_covered = np.zeros(len(offset), np.bool_)
    for number, at in positions.items():
        is_before = (log < at.log) | ((log == at.log) & (offset < at.next))
        is_covered |= (partition == number) & is_before
    return is_covered


def _joined(found: Table, table: ArchiveTable, snapshot: Snapshot) -> Iterator[pa.Table]:
    """Yield all rows, `ROWS_AT_ONCE` or more at a time: each call has a fixed cost."""
    some: list[pa.Table] = []
    # In the order of paths: it decides which of two equal places is the first.
    for file in files_of(found, snapshot):
        for rows in _rows(found, table, file):
            some.append(rows)
            if sum(each.num_rows for each in some) >= ROWS_AT_ONCE:
                yield pa.concat_tables(some)
                some = []
    if some:
        yield pa.concat_tables(some)


def _rows(found: Table, table: ArchiveTable, file: DataFile) -> Iterator[pa.Table]:
    columns = columns_of(found, table)
    try:
        with opened(found, file) as parquet:
            yield from rows_in(parquet, columns, ROWS_AT_ONCE)
    except (pa.ArrowException, FileNotFoundError) as error:
        raise ArchiveError(
            f"{file.file_path} cannot be read ({error}): roll the table back to a snapshot without "
            "it"
        ) from error
