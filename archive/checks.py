"""Checks the archive's rows, and shows the results as a table."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from pyiceberg.catalog import Catalog
from rich.table import Table

from contracts.archive import ArchiveTable
from runtime.archive.catalog import load
from runtime.archive.config import ArchiveConfig
from runtime.archive.quality.checking import Checked, check_snapshot, context_of
from runtime.archive.tables import check_table


def check(
    catalog: Catalog, config: ArchiveConfig, tables: Iterable[ArchiveTable], docs: Path | None
) -> list[Checked]:
    """Return what was found in the current snapshot of each table that has one.

    Args:
        catalog: that has the tables.
        config: of the archive.
        tables: which ones.
        docs: a folder for pages of what was found; None: none are written.

    Raises:
        ArchiveError: a table has unexpected columns or partitions, or a file cannot be read.
        PositionsError: how far a table goes is unknown.
        Exception: as `runtime.archive.catalog.is_passing` knows it, if the catalog is unreachable.
    """
    now_ms, context = time.time_ns() // 1_000_000, context_of(docs and docs.resolve())
    checked = []
    for table in tables:
        if (found := load(catalog, config, table)) is None:
            continue
        check_table(found, table)
        if (snapshot := found.current_snapshot()) is not None:
            checked.append(check_snapshot(found, table, snapshot, now_ms, context))
    if docs is not None:
        context.build_data_docs()
    return checked


def shown(checked: Sequence[Checked]) -> Table:
    """Return how many rows of each table were checked, and each expectation that some break."""
    table = Table(show_lines=True)
    for column in ("table", "rows", "expectation", "broken by", "such as"):
        is_number = column in ("rows", "broken by")
        table.add_column(column, justify="right" if is_number else "left", no_wrap=is_number)
    for each in checked:
        name, rows = each.table, f"{each.rows:,}"
        if not each.failed:
            table.add_row(name, rows, f"{each.expectations}, all met", "", "")
        for failed in each.failed:
            examples = "\n".join(failed.examples)
            table.add_row(name, rows, failed.expectation, f"{failed.rows:,}", examples)
            name = rows = ""
    return table
