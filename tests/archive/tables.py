"""Tables without Kafka, whose rows are committed as an archive does it.

What is in a table is counted by DuckDB, from the Parquet files of the current snapshot.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from archive.maintenance.erasure import OF_USERS, Erasure
from archive.stored_table import StoredTable
from archive.writing.files import write
from contracts.archive import ArchiveTable
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Moved, Position
from runtime.archive.tables import arrow_schema_of, open_table, positions_of

DAY_US = 86_400_000_000
TODAY_US = 20_000 * DAY_US
Rows = Sequence[dict[str, Any]]


class Tables(NamedTuple):
    catalog: Catalog
    config: ArchiveConfig

    def reopened(self) -> "Tables":
        return Tables(open_catalog(self.config), self.config)

    def stored(self, table: ArchiveTable) -> StoredTable:
        return StoredTable(*self, table)

    def found(self, table: ArchiveTable) -> Table:
        return self.stored(table).load()

    def files(self, table: ArchiveTable) -> list[Path]:
        return [path_of(task.file.file_path) for task in self.found(table).scan().plan_files()]

    def rows(self, table: ArchiveTable, what: str = "*") -> list[tuple[Any, ...]]:
        """Return what DuckDB selects of a table."""
        return selected(self.files(table), what)

    def positions(self, table: ArchiveTable) -> dict[int, Position]:
        return positions_of(self.found(table), table)

    def commit(self, table: ArchiveTable, rows: Rows) -> None:
        """Commit rows of one partition, whose offsets go on where the table ends."""
        found = open_table(*self, table)
        before = positions_of(found, table).get(0)
        start = before.next if before else 0
        placed = [{"offset": start + n, **row} for n, row in enumerate(rows)]
        after = Position("topic", 0, start + len(rows))
        files = write(found, table, rows_of(table, placed))
        self.stored(table).append(files, {0: Moved(before, start, after)}, is_young=lambda: True)

    def erase(self, earliest: Mapping[int, Position], files_good_for_s: float = 60) -> int:
        """Erase users from all tables; return how many of their rows went."""
        erasure = Erasure(*self, lambda: earliest, files_good_for_s)
        return sum(erasure.run(table) for table in OF_USERS)

    def write_unreferenced(self, table: ArchiveTable, rows: Rows) -> list[Path]:
        files = write(self.found(table), table, rows_of(table, rows))
        return [path_of(file.file_path) for file in files]


def path_of(location: str) -> Path:
    return Path(location.removeprefix("file://"))


def selected(files: Sequence[Path], what: str) -> list[tuple[Any, ...]]:
    if not files:
        return []
    with duckdb.connect() as db:
        db.sql("SET TimeZone = 'UTC'")
        query = f"SELECT {what} FROM read_parquet({[*map(str, files)]}, hive_partitioning = false)"
        return db.sql(query).fetchall()


def rows_of(table: ArchiveTable, rows: Rows) -> pa.Table:
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
