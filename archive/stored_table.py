"""A table in its catalog: its current state, and commits of rows with the positions after them.

Two checks together make it exactly once. The metadata is reloaded, and each partition must be
where the step begins. And Iceberg's own requirement, that the branch is still at the snapshot that
was loaded, holds for that metadata: nobody else wrote between the check and the commit.

Nor is a file committed that cleaning may have deleted: the age of files is checked after the
metadata is loaded, and `archive.maintenance.cleaning` makes a snapshot before it deletes any, so
a commit on metadata from before that is refused.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, TableProperties

from archive import metrics
from contracts.archive import ArchiveTable
from runtime.archive.catalog import ArchiveError, in_races
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import (
    POSITIONS_PROPERTY,
    RANGES_PROPERTY,
    ROWS_PROPERTY,
    Moved,
    Positions,
    encode_positions,
    encode_ranges,
    stepped,
)
from runtime.archive.tables import MAINTAINED_PROPERTY, check_table, positions_of, rows_in

WHY_PROPERTY: Final = "tickrec.why"
"""append, compaction or erasure: what a snapshot was made for."""

_PENDING_PROPERTY: Final = "tickrec.erasures-pending"
"""Of how many erased users there were rows in some file."""
_ERASED_PROPERTY: Final = "tickrec.erased-ms"
"""When a round last found none."""

IsYoung = Callable[[], bool]


class GoneError(RuntimeError):
    """A file to be replaced is no longer in the table: another process replaced it."""


class TooOldError(OSError):
    """Files waited for their commit until cleaning may delete them; they must be rewritten."""


def young(good_for_s: float, clock_s: Callable[[], float] = time.time) -> IsYoung:
    """Return a check of whether files written from now on are still safe from cleaning.

    Args:
        good_for_s: `archive.settings.Times.files_good_for_s`.
        clock_s: epoch s, as files' times are: it must not stop while a machine sleeps.
    """
    until_s = clock_s() + good_for_s
    return lambda: clock_s() <= until_s


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table, and where it is."""

    catalog: Catalog
    config: ArchiveConfig
    table: ArchiveTable

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    def load(self) -> Table:
        """Return its current state."""
        return self.catalog.load_table((self.config.namespace, self.name))

    def checked(self) -> Table:
        """Return its current state, ready for a commit.

        Raises:
            ArchiveError: it has unexpected columns or partitions.
        """
        found = self.load()
        check_table(found, self.table)
        if found.properties.get(TableProperties.COMMIT_NUM_RETRIES) != "0":
            raise ArchiveError(
                f"table {self.name} has lost its property {TableProperties.COMMIT_NUM_RETRIES}=0, "
                "without which a commit that lost a race would be made twice: start the archive "
                "again"
            )
        return found

    @in_races.wraps
    def append(
        self, files: Collection[DataFile], moved: Mapping[int, Moved], is_young: IsYoung
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
        found = self._checked(is_young)
        positions = stepped(positions_of(found, self.table), moved)
        summary = {WHY_PROPERTY: "append", RANGES_PROPERTY: encode_ranges(moved)}
        _commit(found, positions, summary, (), files)

    @in_races.wraps
    def replace(
        self,
        old: Collection[DataFile],
        new: Collection[DataFile],
        is_young: IsYoung,
        why: str,
    ) -> None:
        """Replace files by others; the positions stay.

        Raises:
            GoneError: an old one is no longer in the table; the new ones are useless.
            TooOldError: the new ones are not young.
            CommitFailedException: other commits came first each time.
            ArchiveError: the table now has unexpected columns or partitions.
        """
        found = self._checked(is_young)
        there = {entry.file.file_path for entry in found.scan().plan_files()}
        if gone := [file.file_path for file in old if file.file_path not in there]:
            raise GoneError(f"{gone[0]} and others are in table {self.name} no more")
        _commit(found, positions_of(found, self.table), {WHY_PROPERTY: why}, old, new)

    def _checked(self, is_young: IsYoung) -> Table:
        found = self.checked()
        if not is_young():
            raise TooOldError(
                f"files of table {self.name} waited for their commit until cleaning may delete "
                "them, and are rewritten: if this recurs, lower ARCHIVE_BUFFER_MB and "
                "ARCHIVE_FILE_MB, or raise ARCHIVE_ERASE_WITHIN_HOURS"
            )
        return found


def _commit(
    found: Table,
    positions: Positions,
    summary: Mapping[str, str],
    old: Collection[DataFile],
    new: Collection[DataFile],
) -> None:
    properties = {POSITIONS_PROPERTY: encode_positions(positions)}
    rows = rows_in(found.current_snapshot())
    if rows is not None:
        rows += sum(file.record_count for file in new) - sum(file.record_count for file in old)
    with found.transaction() as transaction:
        transaction.set_properties(properties | {ROWS_PROPERTY: str(rows)})
        update = transaction.update_snapshot(snapshot_properties={**properties, **summary})
        with update.overwrite() if old else update.merge_append() as snapshot:
            for file in old:
                snapshot.delete_data_file(file)
            for file in new:
                snapshot.append_data_file(file)


def note_maintained(stored: StoredTable, now_s: float, pending: int | None) -> None:
    """Note that a table was maintained as a whole.

    Args:
        stored: the table.
        now_s: when that began, epoch s.
        pending: of how many erased users there are still rows in files; None: it has no users.
    """
    now_ms = str(int(now_s * 1_000))
    properties = {MAINTAINED_PROPERTY: now_ms}
    if pending is not None:
        properties[_PENDING_PROPERTY] = str(pending)
    if pending == 0:
        properties[_ERASED_PROPERTY] = now_ms
    in_races(_set, stored, properties)


def show_maintained(found: Table, table: ArchiveTable) -> None:
    """Show as metrics what a table says."""
    metrics.MAINTAINED_TIMESTAMP.labels(table.name).set(maintained_s(found))
    if (pending := found.properties.get(_PENDING_PROPERTY)) is not None:
        metrics.ERASURES_PENDING.labels(table.name).set(int(pending))
    if done_s := erased_s(found):
        metrics.ERASED_TIMESTAMP.labels(table.name).set(done_s)


def maintained_s(found: Table) -> float:
    """Return when a table was last maintained as a whole, epoch s; 0 if that is not known."""
    return int(found.properties.get(MAINTAINED_PROPERTY, 0)) / 1_000


def erased_s(found: Table) -> float:
    """Return when a round last found no rows of erased users, epoch s; 0 if none ever did."""
    return int(found.properties.get(_ERASED_PROPERTY, 0)) / 1_000


def _set(stored: StoredTable, properties: dict[str, str]) -> None:
    found = stored.load()
    with found.transaction() as transaction:
        transaction.set_properties(properties)
    show_maintained(found, stored.table)
