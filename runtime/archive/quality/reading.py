"""The rows of a snapshot in batches, with added columns for what a row alone does not show."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from contracts.archive import PLACE, ArchiveTable
from contracts.archive_rules import BytesWithin, rules_of
from contracts.messages import Ints
from runtime.archive.catalog import ArchiveError
from runtime.archive.positions import Position, positions_in
from runtime.archive.quality.places import Places
from runtime.archive.quality.suite import PLACE_IS_COVERED, PLACE_IS_NEW, bytes_of
from runtime.archive.tables import arrow_schema_of

ROWS_AT_ONCE: Final = 500_000
"""Some 300 MB with what is made of them; a file of 128 MB has twenty million rows."""
_NOWHERE: Final = -1
"""Stands for a null in a place."""


def batches(found: Table, table: ArchiveTable, snapshot: Snapshot) -> Iterator[pd.DataFrame]:
    """Yield the rows of a snapshot, with the columns that `suite` adds to the table's.

    Memory is that of twice `ROWS_AT_ONCE` rows, and a bit a record.

    Raises:
        ArchiveError: a file cannot be read, or has deleted rows in it; names it.
        PositionsError: how far the snapshot goes is unknown.
    """
    line = ancestors_of(snapshot, found.metadata)
    summaries = [dict(s.summary.additional_properties) if s.summary else {} for s in line]
    positions = positions_in(table, list(summaries))
    texts = [rule.column for rule in rules_of(table) if isinstance(rule, BytesWithin)]
    places = Places()
    each = itertools.chain.from_iterable(
        _rows(found, table, path) for path in _paths(found, snapshot)
    )
    for rows in _joined(each):
        frame = rows.to_pandas()
        log, partition, offset = (_integers(rows, name) for name in PLACE)
        frame[PLACE_IS_COVERED] = covered(positions, log, partition, offset)
        frame[PLACE_IS_NEW] = places.add(log, partition, offset)
        for name in texts:
            frame[bytes_of(name)] = pc.binary_length(rows[name]).to_pandas()
        yield frame


def covered(
    positions: Mapping[int, Position], log: Ints, partition: Ints, offset: Ints
) -> npt.NDArray[np.bool_]:
    """Return (n,) which places, columns (n,), are before the positions."""
    is_covered = np.zeros(len(offset), np.bool_)
    for number, at in positions.items():
        is_before = (log < at.log) | ((log == at.log) & (offset < at.next))
        is_covered |= (partition == number) & is_before
    return is_covered


def _paths(found: Table, snapshot: Snapshot) -> list[str]:
    tasks = list(found.scan(snapshot_id=snapshot.snapshot_id).plan_files())
    if deleted := [task.file.file_path for task in tasks if task.delete_files]:
        raise ArchiveError(
            f"{deleted[0]} has deleted rows in it, as another engine writes them: let that engine "
            "rewrite the table's files (copy-on-write)"
        )
    # In one order, whatever the manifests' is: it decides which of two equal places is the first.
    return sorted(task.file.file_path for task in tasks)


def _rows(found: Table, table: ArchiveTable, path: str) -> Iterator[pa.RecordBatch]:
    names = arrow_schema_of(table).names
    schema = pa.schema((field.name, field.type) for field in arrow_schema_of(table))
    try:
        with found.io.new_input(path).open() as stream:
            file = pq.ParquetFile(stream)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=names):
                # Files differ in nullability and metadata; to be concatenated, schemas must match.
                yield batch.select(names).cast(schema)
    except (pa.ArrowException, FileNotFoundError, KeyError) as error:
        raise ArchiveError(
            f"{path} cannot be read ({error}): roll the table back to a snapshot without it"
        ) from error


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows of batches, `ROWS_AT_ONCE` or more at a time: each call has a fixed cost."""
    some: list[pa.RecordBatch] = []
    for batch in batches:
        some.append(batch)
        if sum(each.num_rows for each in some) >= ROWS_AT_ONCE:
            yield pa.Table.from_batches(some)
            some = []
    if some:
        yield pa.Table.from_batches(some)


def _integers(rows: pa.Table, name: str) -> Ints:
    return np.asarray(pc.fill_null(rows[name], _NOWHERE).to_numpy(), np.int64)
