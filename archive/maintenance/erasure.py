"""Erases users from the tables who were erased from the log.

A tombstone on `interactions` is a row there, with the event `contracts.archive.ERASED`. Rows of its
user from before it go: in `interactions` by the place in the log, and by the time what was sent
again or late; in `feedback` by the time. The files are written again without them;
`archive.maintenance.cleaning` deletes the old ones.

The row of the tombstone itself, with the user's id, stays for as long as the topic has its record:
until then, feedback from before it may still arrive. Nothing else is kept of what was done, so each
round checks all remaining tombstones, and finds nothing for those that are done.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from functools import cached_property, partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import structlog
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRef, SnapshotRefType

from archive import metrics
from archive.maintenance.cleaning import retained_files
from archive.maintenance.user_rows import (
    RecordPlace,
    TakenOut,
    TombstoneRow,
    are_at,
    column_us,
    files_with,
    read_events,
    read_tombstones,
    rows_of,
    taken_out,
)
from archive.stored_table import StoredTable, young
from archive.writing.files import ROW_GROUP_ROWS, FileWriter
from contracts.archive import FEEDBACK_TABLE, INTERACTIONS_TABLE, ArchiveTable
from runtime.archive.catalog import in_races
from runtime.archive.config import ArchiveConfig
from runtime.archive.data_files import columns_of, opened, rows_in
from runtime.archive.positions import Position
from runtime.archive.tables import positions_of

FILES_AT_ONCE: Final = 8
"""Files that one commit replaces: the first of them must not wait long."""

IsErased = Callable[[pa.Table], npt.NDArray[np.bool_]]
"""Rows of some users -> which of them are taken out, (n,)."""

log = structlog.get_logger(__name__)


OF_USERS: Final = (FEEDBACK_TABLE, INTERACTIONS_TABLE)
"""The tables that have rows of users, in the order in which these are erased."""


class Pending(NamedTuple):
    """How far erasure from a table is, in users."""

    erased: int
    """whose tombstones are in `interactions`"""
    in_table: int
    """who have rows in the table, which the next round takes out"""
    in_files: int
    """who have rows in files that a snapshot keeps, these among them; they go with the snapshots"""


class _Plan(NamedTuple):
    """What is to be erased."""

    users: Sequence[str]
    tombstones: Sequence[TombstoneRow]
    gone: TakenOut
    spent: Set[RecordPlace]
    """tombstones whose record the log no longer has"""


class Erasure:
    """One round: what to erase is determined once for all tables, on first use."""

    def __init__(
        self,
        catalog: Catalog,
        config: ArchiveConfig,
        earliest: Callable[[], Mapping[int, Position]],
        files_good_for_s: float,
    ) -> None:
        """Take where the tables are.

        `earliest` returns where the log of each partition of `interactions` begins now: tombstones
        from before that go as well. `files_good_for_s` is as `archive.settings.Times` has it.
        """
        self._stored = {table: StoredTable(catalog, config, table) for table in OF_USERS}
        self._earliest, self._files_good_for_s = earliest, files_good_for_s
        self._is_feedback_done = False

    def run(self, table: ArchiveTable) -> int:
        """Erase users from one of `OF_USERS`; return how many of their rows went.

        Raises:
            GoneError: another archive has just rewritten the same files; the next round will do it.
            TooOldError: it took too long; the next round will do it.
        """
        plan = self._plan
        if table is FEEDBACK_TABLE:
            erased = self._from(table, partial(_is_feedback_erased, plan.gone))
            self._drop_refs(table)
            self._is_feedback_done = True
            return erased
        erased = self._from(table, lambda rows: are_at(rows, plan.gone.places))
        self._drop_refs(table)
        # Spent tombstones last, when all else is committed: without them no round would do it.
        if plan.spent and self._is_feedback_done:
            erased += self._from(table, lambda rows: are_at(rows, plan.spent))
        return erased

    def pending(self, table: ArchiveTable) -> Pending:
        """Return how many users were erased, and of whom there are still rows."""
        users = self._plan.users
        found = self._stored[table].checked()
        if not users:
            return Pending(0, 0, 0)
        now = self._left(found, table, list(files_with(found, users)))
        kept = self._left(found, table, retained_files(found))
        return Pending(len(users), len(now), len(kept))

    @cached_property
    def _plan(self) -> _Plan:
        found = self._stored[INTERACTIONS_TABLE].checked()
        tombstones = list(read_tombstones(found))
        if not tombstones:
            return _Plan((), (), TakenOut(frozenset(), {}), frozenset())
        users = sorted({tombstone.user_id for tombstone in tombstones})
        earliest = self._earliest()
        spent = {t.place for t in tombstones if _is_spent(t.place, found, earliest)}
        gone = taken_out(read_events(found, files_with(found, users), users), tombstones)
        return _Plan(users, tombstones, gone, spent)

    def _drop_refs(self, table: ArchiveTable) -> None:
        """Drop the tags and branches that keep erased rows: their files would stay for good."""
        found = self._stored[table].checked()
        for name, ref in found.refs().items():
            if name == MAIN_BRANCH or not self._has_erased(found, table, ref.snapshot_id):
                continue
            in_races(self._drop_ref, table, name, ref)
            kind = ref.snapshot_ref_type
            log.warning("dropped: it kept erased users", table=table.name, ref=name, kind=kind)

    def _has_erased(self, found: Table, table: ArchiveTable, snapshot_id: int) -> bool:
        users = self._plan.users
        return bool(users and self._left(found, table, list(files_with(found, users, snapshot_id))))

    def _left(self, found: Table, table: ArchiveTable, files: Sequence[DataFile]) -> set[str]:
        """Return the erased users who have rows in files, whether in the current table or not."""
        users, tombstones, gone, _ = self._plan
        if table is FEEDBACK_TABLE:
            is_erased: IsErased = partial(_is_feedback_erased, gone)
        else:
            there = taken_out(read_events(found, files, users), tombstones)
            is_erased = partial(are_at, places=there.places)
        return {
            user
            for file in files
            for rows in rows_of(found, file, users, table)
            for user in rows.filter(pa.array(is_erased(rows)))["user_id"].to_pylist()
        }

    def _drop_ref(self, table: ArchiveTable, name: str, ref: SnapshotRef) -> None:
        changes = self._stored[table].load().manage_snapshots()
        if ref.snapshot_ref_type == SnapshotRefType.TAG:
            changes.remove_tag(name).commit()
        else:
            changes.remove_branch(name).commit()

    def _from(self, table: ArchiveTable, is_erased: IsErased) -> int:
        users = self._plan.users
        if not users:
            return 0
        return _erase_from(self._stored[table], users, is_erased, self._files_good_for_s)


def _is_feedback_erased(gone: TakenOut, rows: pa.Table) -> npt.NDArray[np.bool_]:
    until_us = [gone.until_us.get(user, 0) for user in rows["user_id"].to_pylist()]
    return np.array(column_us(rows, "ts") < np.array(until_us, np.int64))


def _erase_from(
    stored: StoredTable, users: Collection[str], is_erased: IsErased, files_good_for_s: float
) -> int:
    found, table = stored.checked(), stored.table
    affected = (
        file
        for file in files_with(found, users)
        if any(is_erased(rows).any() for rows in rows_of(found, file, users, table))
    )
    erased = 0
    while some := list(itertools.islice(affected, FILES_AT_ONCE)):
        is_young = young(files_good_for_s)
        new = [file for old in some if (file := _without(found, table, old, users, is_erased))]
        stored.replace(some, new, is_young, "erasure")
        rows = sum(f.record_count for f in some) - sum(f.record_count for f in new)
        erased += rows
        metrics.COMMITS.labels(table.name, "erasure").inc()
        metrics.ERASED_ROWS.labels(table.name).inc(rows)
        log.info("users erased", table=table.name, rows=rows, files=len(some))
    return erased


def _without(
    found: Table, table: ArchiveTable, file: DataFile, users: Collection[str], is_erased: IsErased
) -> DataFile | None:
    """Rewrite a file without the erased rows; return None if nothing is left of it."""
    columns, some = columns_of(found, table), pa.array(users, pa.string())
    partition = tuple(file.partition[n] for n in range(len(found.spec().fields)))
    writer: FileWriter | None = None
    with opened(found, file) as parquet:
        for rows in rows_in(parquet, columns, ROW_GROUP_ROWS):
            keep = np.ones(rows.num_rows, np.bool_)
            theirs = np.flatnonzero(pc.is_in(rows["user_id"], some).to_numpy())
            keep[theirs] = ~is_erased(rows.take(theirs))
            if keep.any():
                writer = writer or FileWriter(found, table, partition)
                writer.write(rows.filter(pa.array(keep)))
    return None if writer is None else writer.close()


def _is_spent(place: RecordPlace, found: Table, earliest: Mapping[int, Position]) -> bool:
    """Whether the log no longer has a tombstone's record."""
    now = positions_of(found, INTERACTIONS_TABLE).get(place.partition)
    begin = earliest.get(place.partition)
    if now is None or begin is None or now.topic_id != begin.topic_id:
        return False
    return place.log < now.log or (place.log == now.log and place.offset < begin.next)
