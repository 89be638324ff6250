"""The data files of a table: where they are, and their rows with all columns of today.

Other programs' columns are included: a rewritten file must not lose their values. As in Iceberg, a
column is identified by its field id, whatever its name was when a file was written.
"""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from contracts.archive import ArchiveTable
from runtime.archive.tables import FIELD_ID, arrow_schema_of, with_field_ids

_FIELD_ID: Final = FIELD_ID.encode()


def columns_of(found: Table, table: ArchiveTable) -> pa.Schema:
    """Return all current columns of a table: ours, then those that others added."""
    ours = with_field_ids(arrow_schema_of(table), found)
    theirs = [each for each in schema_to_pyarrow(found.schema()) if each.name not in ours.names]
    return pa.schema([*ours, *theirs])


@contextmanager
def opened(found: Table, file: DataFile) -> Iterator[pq.ParquetFile]:
    """Open a file of a table."""
    with (
        filesystem_of(found).open_input_file(path_of(file.file_path)) as stream,
        pq.ParquetFile(stream) as parquet,
    ):
        yield parquet


def rows_in(parquet: pq.ParquetFile, columns: pa.Schema, rows_at_once: int) -> Iterator[pa.Table]:
    """Yield the rows of a file in its order; a column that it does not have is null."""
    there = {_key(field): field.name for field in parquet.schema_arrow}
    sources = [there.get(_key(field), there.get(field.name)) for field in columns]
    names = [name for name in sources if name is not None]
    for batch in parquet.iter_batches(rows_at_once, columns=names):
        arrays = [
            pa.nulls(batch.num_rows, field.type)
            if name is None
            else batch.column(name).cast(field.type)
            for name, field in zip(sources, columns, strict=True)
        ]
        yield pa.Table.from_arrays(arrays, schema=columns)


def _key(field: pa.Field) -> bytes | str:
    """Return a column's field id; its name in a file that was written without ids."""
    key: bytes | str = (field.metadata or {}).get(_FIELD_ID, field.name)
    return key


def filesystem_of(found: Table) -> FileSystem:
    """Return the file system that has a table's files."""
    io = cast("PyArrowFileIO", found.io)
    scheme, netloc, _ = PyArrowFileIO.parse_location(found.location(), io.properties)
    return io.fs_by_scheme(scheme, netloc)


def path_of(location: str) -> str:
    """Return a location's path in its file system.

    >>> path_of("s3://bucket/tickrec/quotes"), path_of("file:///data/tickrec/quotes")
    ('bucket/tickrec/quotes', '/data/tickrec/quotes')
    """
    return posixpath.normpath(PyArrowFileIO.parse_location(location)[2])
