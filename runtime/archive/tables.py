"""The archive's tables in Iceberg's terms: created if missing, checked if they exist."""

import time
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import TableAlreadyExistsError
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform, Transform
from pyiceberg.types import (
    DoubleType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)

from contracts.archive import BUCKETS, ArchiveTable, ColumnType
from runtime.archive.catalog import ArchiveError, load, open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Position, positions_in

_TYPES: Final[Mapping[ColumnType, PrimitiveType]] = {
    "int": IntegerType(),
    "long": LongType(),
    "double": DoubleType(),
    "string": StringType(),
    "timestamptz": TimestamptzType(),
}
_ARROW: Final[Mapping[ColumnType, pa.DataType]] = {
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "timestamptz": pa.timestamp("us", "UTC"),
}
FIELD_ID: Final = "PARQUET:field_id"
"""The metadata key of a column's field id in Arrow."""
_FIRST_PARTITION_FIELD: Final = 1000
"""As Iceberg numbers them."""
FORMAT_PROPERTY: Final = "tickrec.format"
FORMAT: Final = "1"
"""Of the tables: columns, positions and properties, as this version reads and writes them."""
NO_RETRIES: Final = {TableProperties.COMMIT_NUM_RETRIES: "0"}
"""pyiceberg would put a commit that lost a race on top of the winner's, positions and all."""
MAINTAINED_PROPERTY: Final = "tickrec.maintained-ms"
"""When a table was last cleaned as a whole, and its users erased; before that, when it was made."""
PROPERTIES: Final = {
    **NO_RETRIES,
    FORMAT_PROPERTY: FORMAT,
    # A commit every few minutes: old metadata would soon be most of the files.
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "10",
    TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED: "true",
    TableProperties.MANIFEST_MERGE_ENABLED: "true",
}


def schema_of(table: ArchiveTable) -> Schema:
    """Return a table's schema; a column's field id is its place, from 1."""
    return Schema(
        *(
            NestedField(n, column.name, _TYPES[column.type], required=column.is_required)
            for n, column in enumerate(table.columns, 1)
        )
    )


def arrow_schema_of(table: ArchiveTable) -> pa.Schema:
    """Return the schema of a table's rows in memory; files have Iceberg's field ids as well."""
    return pa.schema(
        pa.field(column.name, _ARROW[column.type], nullable=not column.is_required)
        for column in table.columns
    )


def with_field_ids(columns: pa.Schema, found: Table) -> pa.Schema:
    """Return columns with the field ids that a table has for them, if it does have them."""
    ids = {field.name: {FIELD_ID: str(field.field_id)} for field in found.schema().fields}
    return pa.schema(field.with_metadata(ids.get(field.name)) for field in columns)


def spec_of(table: ArchiveTable) -> PartitionSpec:
    """Return how a table's rows are partitioned: by the day, and the bucket if there is one."""
    schema = schema_of(table)
    transforms: list[tuple[str, Transform[Any, Any], str]] = [(table.day_of, DayTransform(), "day")]
    if table.bucket_of is not None:
        transforms.append((table.bucket_of, BucketTransform(BUCKETS), "bucket"))
    return PartitionSpec(
        *(
            PartitionField(
                schema.find_field(column).field_id, n, transform, name=f"{column}_{suffix}"
            )
            for n, (column, transform, suffix) in enumerate(transforms, _FIRST_PARTITION_FIELD)
        )
    )


def order_of(table: ArchiveTable) -> SortOrder:
    """Return the order of the rows in a file."""
    schema = schema_of(table)
    return SortOrder(
        *(
            SortField(schema.find_field(column).field_id, IdentityTransform())
            for column in table.sorted_by
        )
    )


def open_table(catalog: Catalog, config: ArchiveConfig, table: ArchiveTable) -> Table:
    """Return a table's current state, created if missing, with its later columns.

    Raises:
        ArchiveError: it exists with another format, other columns or partitions; names them.
    """
    found = load(catalog, config, table) or _create(catalog, config, table)
    check_table(found, table)
    there = {field.name for field in found.schema().fields}
    if later := [c for c in table.columns if c.is_later and c.name not in there]:
        with found.update_schema() as change:
            for column in later:
                change.add_column(column.name, _TYPES[column.type])
    if found.properties.get(TableProperties.COMMIT_NUM_RETRIES) != "0":
        with found.transaction() as transaction:
            transaction.set_properties(NO_RETRIES)
    return found


def read_table(config: ArchiveConfig, table: ArchiveTable) -> Table:
    """Return the current state of a table that must exist.

    Raises:
        ArchiveError: it does not, or `check_table` raises it.
        Exception: as `runtime.archive.catalog.is_passing` knows it, if the catalog is unreachable.
    """
    found = load(open_catalog(config), config, table)
    if found is None:
        raise ArchiveError(
            f"the archive has no table {table.name}: run `python -m archive run` first, or set "
            "ARCHIVE_WAREHOUSE to where it writes"
        )
    check_table(found, table)
    return found


def check_table(found: Table, table: ArchiveTable) -> None:
    """Compare a table with its definition; other programs' columns are allowed.

    Raises:
        ArchiveError: it differs; names table, format, column, both types, and what to do.
    """
    name = ".".join(found.name())
    if (format_ := found.properties.get(FORMAT_PROPERTY, "none")) != FORMAT:
        raise ArchiveError(
            f"table {name} is of format {format_}, not {FORMAT} ({FORMAT_PROPERTY}): give the "
            "archive another ARCHIVE_NAMESPACE, or drop the table"
        )
    remedy = "give the archive another ARCHIVE_NAMESPACE, or put the table right with Iceberg"
    there = {field.name: field for field in found.schema().fields}
    for n, column in enumerate(table.columns, 1):
        field = there.pop(column.name, None)
        if field is None and column.is_later:
            continue
        if field is None:
            raise ArchiveError(
                f"table {name} is missing column {column.name} {column.type}: {remedy}"
            )
        if (field.field_type, field.required, field.field_id) != (
            _TYPES[column.type],
            column.is_required,
            field.field_id if column.is_later else n,
        ):
            raise ArchiveError(
                f"column {column.name} of table {name} is {_described(field)}, not "
                f"{_described(schema_of(table).find_field(n))}: {remedy}"
            )
    if needed := [field.name for field in there.values() if field.required]:
        raise ArchiveError(f"table {name} requires columns {needed}, which no record has: {remedy}")
    if found.spec().fields != spec_of(table).fields:
        raise ArchiveError(
            f"table {name} is partitioned by {found.spec()}, not {spec_of(table)}: {remedy}"
        )


def positions_of(
    found: Table, table: ArchiveTable, snapshot: Snapshot | None = None
) -> dict[int, Position]:
    """Return each partition's position in a snapshot, the current one by default; empty without.

    Raises:
        runtime.archive.positions.PositionsError: that is unknown.
    """
    snapshot = snapshot or found.current_snapshot()
    line = ancestors_of(snapshot, found.metadata)
    summaries = [s.summary.additional_properties if s.summary else {} for s in line]
    return positions_in(table, summaries, found.properties, rows_in(snapshot))


def rows_in(snapshot: Snapshot | None) -> int | None:
    """Return how many rows a snapshot has, 0 without one; None if its writer does not say."""
    if snapshot is None:
        return 0
    text = snapshot.summary and snapshot.summary["total-records"]
    return int(text) if text else None


def files_of(found: Table, snapshot: Snapshot) -> list[DataFile]:
    """Return the files of a snapshot, in the order of their addresses.

    Raises:
        ArchiveError: one has deleted rows in it; names it.
    """
    tasks = list(found.scan(snapshot_id=snapshot.snapshot_id).plan_files())
    if deleted := [task.file.file_path for task in tasks if task.delete_files]:
        raise ArchiveError(
            f"{deleted[0]} has deleted rows in it, as another engine writes them: let that engine "
            "rewrite the table's files (copy-on-write)"
        )
    return sorted((task.file for task in tasks), key=lambda file: file.file_path)


def _create(catalog: Catalog, config: ArchiveConfig, table: ArchiveTable) -> Table:
    # A user who may not create it may still find it there.
    if not catalog.namespace_exists(config.namespace):
        catalog.create_namespace_if_not_exists(config.namespace)
    try:
        return catalog.create_table(
            (config.namespace, table.name),
            schema=schema_of(table),
            partition_spec=spec_of(table),
            sort_order=order_of(table),
            properties=PROPERTIES | {MAINTAINED_PROPERTY: str(time.time_ns() // 1_000_000)},
        )
    except TableAlreadyExistsError:  # another process was faster
        return catalog.load_table((config.namespace, table.name))


def _described(field: NestedField) -> str:
    return f"{field.field_type}{' required' if field.required else ''} (field {field.field_id})"
