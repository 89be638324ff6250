"""Reads the rows of users from the archive's tables."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyiceberg.expressions import BooleanExpression, EqualTo, In, Reference
from pyiceberg.expressions.literals import literal
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from archive.maintenance.tombstones import Event, RecordPlace, TombstoneRow
from contracts.archive import ERASED, INTERACTIONS_TABLE, PLACE, ArchiveTable
from runtime.archive.file_rows import filesystem_of, path_of
from runtime.archive.tables import arrow_schema_of

_TOMBSTONE_TIMES: Final = ("last_event_before", "erased_at")

# What it makes of one value is no `In`, which each type checker rejects in its own way.
_is_in: Callable[..., BooleanExpression] = In


def read_tombstones(found: Table) -> Iterator[TombstoneRow]:
    """Yield the tombstones in the table of interactions."""
    columns = ("user_id", *PLACE, "ts", *_TOMBSTONE_TIMES)
    rows = found.scan(
        row_filter=EqualTo(term=Reference("event"), value=literal(ERASED)), selected_fields=columns
    ).to_arrow()
    times_us = [rows[name].cast(pa.int64()).to_pylist() for name in _TOMBSTONE_TIMES]
    for event, *of_each in zip(_as_events(rows), *times_us, strict=True):
        yield TombstoneRow(*event, *of_each)


def read_events(found: Table, files: Iterable[DataFile], users: Collection[str]) -> Iterator[Event]:
    """Yield the users' events in some files of the table of interactions."""
    for file in files:
        for rows in rows_of(found, file, users, INTERACTIONS_TABLE):
            yield from _as_events(rows.filter(pc.field("event") != ERASED))


def _as_events(rows: pa.Table) -> Iterator[Event]:
    users, ts_us = rows["user_id"].to_pylist(), column_us(rows, "ts").tolist()
    return itertools.starmap(Event, zip(users, _places(rows), ts_us, strict=True))


def files_with(
    found: Table, users: Collection[str], snapshot_id: int | None = None
) -> Iterator[DataFile]:
    """Yield a snapshot's files that may have rows of users, by their least and greatest ids."""
    theirs = _is_in(Reference("user_id"), {literal(user) for user in users})
    for task in found.scan(row_filter=theirs, snapshot_id=snapshot_id).plan_files():
        yield task.file


def rows_of(
    found: Table, file: DataFile, users: Collection[str], table: ArchiveTable
) -> Iterator[pa.Table]:
    """Yield the rows of users in a file."""
    dataset = ds.dataset(
        path_of(file.file_path),
        schema=arrow_schema_of(table),
        format="parquet",
        filesystem=filesystem_of(found),
    )
    theirs = pc.field("user_id").isin(pa.array(users, pa.string()))
    for batch in dataset.to_batches(filter=theirs):
        if batch.num_rows:
            yield pa.Table.from_batches([batch])


def _places(rows: pa.Table) -> Iterator[RecordPlace]:
    columns: list[list[Any]] = [rows[name].to_pylist() for name in PLACE]
    return itertools.starmap(RecordPlace, zip(*columns, strict=True))


def are_at(rows: pa.Table, places: Collection[RecordPlace]) -> npt.NDArray[np.bool_]:
    """Return which rows are of the records at some places, (n,)."""
    return np.fromiter((place in places for place in _places(rows)), np.bool_, rows.num_rows)


def column_us(rows: pa.Table, column: str) -> npt.NDArray[np.int64]:
    """Return a column of times, epoch us, (n,)."""
    us: npt.NDArray[np.int64] = rows[column].cast(pa.int64()).to_numpy()
    return us
