"""Tables without Kafka, whose rows are committed as an archive does it."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog

from archive.writing.commits import append
from archive.writing.files import write
from contracts.archive import ArchiveTable
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Moved, Position
from runtime.archive.tables import arrow_schema_of, open_table, positions_of

DAY_US = 86_400_000_000
TODAY_US = 20_000 * DAY_US


def rows_of(table: ArchiveTable, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows, with 0 or "" for what they lack."""
    schema = arrow_schema_of(table)
    default = {pa.string(): "", pa.float64(): 1.0}
    columns = {
        field.name: [
            row.get(field.name, None if field.nullable else default.get(field.type, 0))
            for row in rows
        ]
        for field in schema
    }
    return pa.table(columns, schema=schema)


def commit(
    catalog: Catalog, config: ArchiveConfig, table: ArchiveTable, rows: Sequence[dict[str, Any]]
) -> None:
    """Commit rows of one partition, whose offsets go on where the table ends."""
    found = open_table(catalog, config, table)
    before = positions_of(found, table).get(0)
    start = before.next if before else 0
    placed = [{"offset": start + n, **row} for n, row in enumerate(rows)]
    after = Position("topic", 0, start + len(rows))
    files = write(found, table, rows_of(table, placed))
    append(catalog, config, table, files, {0: Moved(before, start, after)}, is_young=lambda: True)
