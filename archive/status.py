"""The archive's contents, as a table."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from pyiceberg.catalog import Catalog
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.types import TimestamptzType
from rich.table import Table

from archive.maintenance.compaction import live_files
from archive.maintenance.erasure import OF_USERS, Erasure
from archive.stored_table import erased_s, maintained_s
from contracts.archive import ArchiveTable
from runtime.archive.catalog import load
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import positions_of, schema_of

_COLUMNS: Final = ("table", "rows", "files", "MiB", "bytes a row", "newest", "maintained",
                   "positions")  # fmt: skip


def status(catalog: Catalog, config: ArchiveConfig, tables: Iterable[ArchiveTable]) -> Table:
    """Return rows, files, bytes, positions, newest event time and last maintenance of each table.

    Raises:
        runtime.archive.positions.PositionsError: how far a table goes is unknown.
        Exception: as `runtime.archive.catalog.is_passing` knows it, if the catalog is unreachable.
    """
    shown = Table(title=f"{config.namespace} in {config.warehouse}")
    for column in _COLUMNS:
        shown.add_column(column, justify="left" if column in ("table", "positions") else "right")
    for table in tables:
        found = load(catalog, config, table)
        cells = _cells(found, table) if found else ("none yet",)
        shown.add_row(table.name, *cells)
    return shown


def erasures(catalog: Catalog, config: ArchiveConfig) -> Table:
    """Return how many users were erased, how many of them still have rows, and where.

    Raises:
        ArchiveError: a table has unexpected columns or partitions.
        Exception: as `runtime.archive.catalog.is_passing` knows it, if a server is unreachable.
    """
    shown = Table(title=f"Erasures in {config.namespace}")
    for column in ("table", "users erased", "with rows in it", "with rows in files", "last done"):
        shown.add_column(column, justify="left" if column == "table" else "right")
    erasure = Erasure(catalog, config, dict, files_good_for_s=0)
    for table in OF_USERS:
        found = load(catalog, config, table)
        if found is not None:
            counts = (f"{n:,}" for n in erasure.pending(table))
            shown.add_row(table.name, *counts, _shown(erased_s(found)))
    return shown


def _cells(found: IcebergTable, table: ArchiveTable) -> tuple[str, ...]:
    files = [each.file for some in live_files(found).values() for each in some]
    rows = sum(file.record_count for file in files)
    size = sum(file.file_size_in_bytes for file in files)
    positions = positions_of(found, table)
    return (
        f"{rows:,}",
        f"{len(files):,}",
        f"{size / 2**20:,.1f}",
        f"{size / rows:.2f}" if rows else "",
        _newest(files, table),
        _shown(maintained_s(found)),
        " ".join(f"{p}:{at.next}" + f" (log {at.log})" * (at.log > 0)
                 for p, at in sorted(positions.items())),
    )  # fmt: skip


def _newest(files: Iterable[DataFile], table: ArchiveTable) -> str:
    field_id = schema_of(table).find_field(table.day_of).field_id
    greatest: list[Any] = [
        from_bytes(TimestamptzType(), file.upper_bounds[field_id]) for file in files
    ]
    if not greatest:
        return ""
    return _shown(max(greatest) / 1e6)


def _shown(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S") if at_s else ""
