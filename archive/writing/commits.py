"""Commits to a table: rows with the positions after them, or not at all.

Two checks together make it exactly once. The metadata is reloaded, and each partition must be
where the step begins. And Iceberg's own requirement, that the branch is still at the snapshot that
was loaded, holds for that metadata: nobody else wrote between the check and the commit.

Nor is a file committed that cleaning may have deleted: the age of files is checked after the
metadata is loaded, and `archive.maintenance.cleaning` makes a snapshot before it deletes any, so
a commit on metadata from before that is refused.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, TableProperties

from contracts.archive import ArchiveTable
from runtime.archive.catalog import ArchiveError, in_races
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import (
    POSITIONS_PROPERTY,
    RANGES_PROPERTY,
    Moved,
    encode_positions,
    encode_ranges,
    stepped,
)
from runtime.archive.tables import check_table, positions_of

WHY_PROPERTY: Final = "tickrec.why"
"""append, compaction or erasure: what a snapshot was made for."""


class GoneError(RuntimeError):
    """A file to be replaced is no longer in the table: another process replaced it."""


class TooOldError(OSError):
    """Files waited for their commit until cleaning may delete them; they must be rewritten."""


def young(good_for_s: float, clock_s: Callable[[], float] = time.time) -> Callable[[], bool]:
    """Return a check of whether files written from now on are still safe from cleaning.

    Args:
        good_for_s: `archive.settings.Times.files_good_for_s`.
        clock_s: epoch s, as files' times are: it must not stop while a machine sleeps.
    """
    until_s = clock_s() + good_for_s
    return lambda: clock_s() <= until_s


@in_races.wraps
def append(
    catalog: Catalog,
    config: ArchiveConfig,
    table: ArchiveTable,
    files: Collection[DataFile],
    moved: Mapping[int, Moved],
    is_young: Callable[[], bool],
) -> None:
    """Add files, whose rows are exactly those of the steps.

    Raises:
        runtime.archive.positions.MovedOnError: the table is not where a step begins.
        TooOldError: the files are not young.
        CommitFailedException: other commits came first each time.
        ArchiveError: the table now has unexpected columns or partitions.
        Exception: as `is_passing` knows it. It is then unknown whether the commit succeeded; if
            so, a retry is refused.
    """
    found = loaded(catalog, config, table)
    _check_young(table, is_young)
    positions = stepped(positions_of(found, table), moved)
    properties = {
        WHY_PROPERTY: "append",
        POSITIONS_PROPERTY: encode_positions(positions),
        RANGES_PROPERTY: encode_ranges(moved),
    }
    with found.transaction() as transaction:  # noqa: SIM117 (the inner one stages, the outer commits)
        with transaction.update_snapshot(snapshot_properties=properties).merge_append() as snapshot:
            for file in files:
                snapshot.append_data_file(file)


@in_races.wraps
def replace(
    catalog: Catalog,
    config: ArchiveConfig,
    table: ArchiveTable,
    old: Collection[DataFile],
    new: Collection[DataFile],
    is_young: Callable[[], bool],
    why: str,
) -> None:
    """Replace files by others; the positions stay.

    Raises:
        GoneError: an old one is no longer in the table; the new ones are useless.
        TooOldError: the new ones are not young.
        CommitFailedException: other commits came first each time.
        ArchiveError: the table now has unexpected columns or partitions.
    """
    found = loaded(catalog, config, table)
    _check_young(table, is_young)
    there = {entry.file.file_path for entry in found.scan().plan_files()}
    if gone := [file.file_path for file in old if file.file_path not in there]:
        raise GoneError(f"{gone[0]} and others are in table {table.name} no more")
    properties = {
        WHY_PROPERTY: why,
        POSITIONS_PROPERTY: encode_positions(positions_of(found, table)),
    }
    with found.transaction() as transaction:  # noqa: SIM117 (the inner one stages, the outer commits)
        with transaction.update_snapshot(snapshot_properties=properties).overwrite() as snapshot:
            for file in old:
                snapshot.delete_data_file(file)
            for file in new:
                snapshot.append_data_file(file)


def _check_young(table: ArchiveTable, is_young: Callable[[], bool]) -> None:
    if not is_young():
        raise TooOldError(
            f"files of table {table.name} waited for their commit until cleaning may delete them, "
            "and are rewritten: if this recurs, lower ARCHIVE_BUFFER_MB and "
            "ARCHIVE_FILE_MB, or raise ARCHIVE_ERASE_WITHIN_HOURS"
        )


def loaded(catalog: Catalog, config: ArchiveConfig, table: ArchiveTable) -> Table:
    """Return a table's current state, ready for a commit.

    Raises:
        ArchiveError: it has unexpected columns or partitions.
    """
    found = catalog.load_table((config.namespace, table.name))
    check_table(found, table)
    if found.properties.get(TableProperties.COMMIT_NUM_RETRIES) != "0":
        raise ArchiveError(
            f"table {table.name} has lost its property {TableProperties.COMMIT_NUM_RETRIES}=0, "
            "without which a commit that lost a race would be made twice: start the archive again"
        )
    return found
