"""Writes rows as Parquet files of a table: one for each of its partitions, sorted.

pyiceberg's own writer encodes all columns the same way. Offsets and times are (nearly) ascending,
and take a third of the space as deltas; and rows are sorted here once, by partition and order.
"""

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table, TableProperties
from pyiceberg.transforms import BucketTransform
from pyiceberg.typedef import Record

from contracts.archive import BUCKETS, ArchiveTable
from contracts.messages import Ints
from runtime.archive.tables import schema_of, with_field_ids

ROW_GROUP_ROWS: Final = 131_072
"""A reader of one instrument or user reads no more than this."""
FILES_MOST: Final = 1_024
"""Of one commit: two months of a table with buckets. At 50 ms each they take a minute."""
_US_PER_DAY: Final = 24 * 3_600 * 1_000_000
_COMPRESSION: Final = {"compression": "zstd", "compression_level": 3}
_WHOLE_BOUNDS: Final = {TableProperties.DEFAULT_WRITE_METRICS_MODE: "full"}
"""pyiceberg fails to truncate a text whose last character that it keeps comes before surrogates."""


class Group(NamedTuple):
    """Rows of one partition of a table, in its order."""

    partition: tuple[int, ...]
    """the day since the epoch, and the bucket if the table has any"""
    rows: pa.Table


def grouped(table: ArchiveTable, rows: pa.Table) -> Iterator[Group]:
    """Yield the rows of each partition, sorted."""
    if not rows.num_rows:
        return
    keys = partition_columns(table, rows)
    names = [f"partition {n}" for n in range(len(keys))]
    keyed = rows.select(table.sorted_by)
    for name, column in zip(names, keys, strict=True):
        keyed = keyed.append_column(name, pa.array(column))
    order = pc.sort_indices(
        keyed, sort_keys=[(name, "ascending") for name in (*names, *table.sorted_by)]
    )
    ordered = rows.take(order)
    columns = [column[order.to_numpy()] for column in keys]
    changes = np.flatnonzero(np.any([np.diff(column) != 0 for column in columns], axis=0)) + 1
    edges = [0, *changes.tolist(), rows.num_rows]
    for start, end in itertools.pairwise(edges):
        partition = tuple(int(column[start]) for column in columns)
        yield Group(partition, ordered.slice(start, end - start))


def write(
    found: Table, table: ArchiveTable, rows: pa.Table, beat: Callable[[], None] = lambda: None
) -> list[DataFile]:
    """Write rows to files of a table, which no snapshot has yet, and return them.

    Args:
        found: the table as it is now.
        table: whose rows they are.
        rows: in any order.
        beat: called after each file.

    Raises:
        OSError: the store or the disk rejects them.
    """
    files = []
    for partition, ordered in grouped(table, rows):
        writer = FileWriter(found, table, partition)
        writer.write(ordered)
        files.append(writer.close())
        beat()
    return files


class FileWriter:
    """A file of one partition, which takes rows in order and in any number of pieces."""

    def __init__(self, found: Table, table: ArchiveTable, partition: tuple[int, ...]) -> None:
        """Open it.

        Args:
            found: the table as it is now.
            table: whose rows they are.
            partition: as `Group` has it.
        """
        self._found, self._partition = found, partition
        spec, schema = found.spec(), found.schema()
        values = [
            PartitionFieldValue(part, value)
            for part, value in zip(spec.fields, partition, strict=True)
        ]
        self.path = found.location_provider().new_data_location(
            f"{uuid.uuid4()}.parquet", PartitionKey(values, spec, schema)
        )
        self._stream = found.io.new_output(self.path).create()
        self._writer: pq.ParquetWriter | None = None
        self._table = table

    def write(self, rows: pa.Table) -> None:
        """Append rows, with columns that the table has."""
        rows = rows.cast(with_field_ids(rows.schema, self._found))
        if self._writer is None:
            differences = {
                c.name: "DELTA_BINARY_PACKED"
                for c in self._table.columns
                if c.name == "offset" or c.type == "timestamptz"
            }
            self._writer = pq.ParquetWriter(
                self._stream,
                rows.schema,
                use_dictionary=[name for name in rows.schema.names if name not in differences],
                column_encoding=differences,
                **_COMPRESSION,
            )
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)

    def tell(self) -> int:
        """Return how many bytes were written, of row groups that are complete."""
        return int(self._stream.tell())

    def close(self) -> DataFile:
        """Close the file, which has some rows, and return its metadata for a snapshot.

        Raises:
            OSError: as `write`; what was written of it is in no snapshot.
        """
        if self._writer is None:
            raise ValueError(f"{self.path} would be a file without rows")
        with self._stream:
            self._writer.close()
        return self._described(self._writer.writer.metadata)

    def _described(self, metadata: pq.FileMetaData) -> DataFile:
        schema = self._found.schema()
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=metadata,
            stats_columns=compute_statistics_plan(schema, _WHOLE_BOUNDS),
            parquet_column_mapping=parquet_path_to_id_mapping(schema),
        )
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=self.path,
            file_format=FileFormat.PARQUET,
            partition=Record(*self._partition),
            file_size_in_bytes=len(self._found.io.new_input(self.path)),
            sort_order_id=self._found.sort_order().order_id,
            spec_id=self._found.spec().spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )


def partition_columns(table: ArchiveTable, rows: pa.Table) -> list[Ints]:
    """Return the partition of each row: columns (n,) of days, and of buckets if there are any."""
    ts_us = rows[table.day_of].cast(pa.int64()).to_numpy()
    columns = [ts_us // _US_PER_DAY]
    if table.bucket_of is not None:
        kind = schema_of(table).find_field(table.bucket_of).field_type
        bucket = BucketTransform(BUCKETS).pyarrow_transform(kind)
        columns.append(bucket(rows[table.bucket_of].combine_chunks()).to_numpy().astype(np.int64))
    return columns


def rows_that_fit(table: ArchiveTable, rows: pa.Table, files_most: int) -> dict[int, int]:
    """Return how many of the first rows of a partition of the topic one commit may have.

    Their event times may be spread over many days, and each needs a file. A commit is one step of
    the log, so what does not fit is left for the next one, starting with the first row that would
    need one more file.

    Args:
        table: whose rows they are.
        rows: in the order of the log, by partition of the topic.
        files_most: that all partitions of the topic may need together; each gets an equal share.

    Returns:
        partition of the topic -> rows; one that is not named may have all of its rows.
    """
    if not rows.num_rows:
        return {}
    days, *buckets = partition_columns(table, rows)
    if (int(days.max()) - int(days.min()) + 1) * (BUCKETS if buckets else 1) <= files_most:
        return {}
    keys = days * BUCKETS + (buckets[0] if buckets else 0)
    if len(np.unique(keys)) <= files_most:
        return {}
    numbers = rows["partition"].to_numpy()
    ours = np.unique(numbers)
    share = max(files_most // len(ours), 1)
    firsts = {int(n): _first_of_each(keys[numbers == n]) for n in ours}
    return {n: int(first[share]) for n, first in firsts.items() if len(first) > share}


def _first_of_each(keys: Ints) -> Ints:
    """Return the places at which a key comes for the first time, rising."""
    return np.sort(np.unique(keys, return_index=True)[1])
