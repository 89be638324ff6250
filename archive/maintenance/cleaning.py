"""Deletes what no reader needs: snapshots that were replaced a while ago, and files in no snapshot.

A file in no snapshot was replaced, or its writer died before committing. A file that is being
written has no snapshot either, but it is young: a writer commits a file within half of
`Times.unreferenced_after_s` of writing it, or rewrites it. An older file belongs to nobody, or to a
writer that was paused in the middle of its commit: before anything is deleted, an empty snapshot is
made, on top of which that commit is refused.
"""

import contextlib
import posixpath
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

import structlog
from pyarrow.fs import FileSelector, FileType
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Table

from archive import metrics
from archive.settings import Times
from archive.stored_table import StoredTable
from runtime.archive.catalog import in_races
from runtime.archive.data_files import filesystem_of, path_of
from runtime.archive.positions import POSITIONS_PROPERTY

log = structlog.get_logger(__name__)


def clean(stored: StoredTable, times: Times, now_s: float) -> int:
    """Expire snapshots that were replaced a while ago, then delete files; return how many files.

    Args:
        stored: the table.
        times: how long each is kept.
        now_s: the clock, epoch s.
    """
    in_races(_expire, stored, now_s - times.keep_replaced_s)
    removed = _sweep(stored, now_s - times.unreferenced_after_s)
    metrics.FILES_REMOVED.labels(stored.name).inc(removed)
    return removed


def _expire(stored: StoredTable, replaced_before_s: float) -> None:
    found = stored.load()
    current = found.current_snapshot()
    if current is None or not (current.summary and current.summary[POSITIONS_PROPERTY]):
        return  # somebody else's: the positions stand in one before it
    named = {ref.snapshot_id for ref in found.refs().values()}
    replaced_ms = {s.parent_snapshot_id: s.timestamp_ms for s in found.snapshots()}
    replaced = [
        snapshot.snapshot_id
        for snapshot in found.snapshots()
        if snapshot.snapshot_id not in named
        and replaced_ms.get(snapshot.snapshot_id, snapshot.timestamp_ms) < replaced_before_s * 1_000
    ]
    if replaced:
        found.maintenance.expire_snapshots().by_ids(replaced).commit()
        log.info("snapshots expired", table=stored.name, snapshots=len(replaced))


def _sweep(stored: StoredTable, written_before_s: float) -> int:
    """Delete files of the table that were written before and that no snapshot has."""
    found = stored.load()
    filesystem, folder = filesystem_of(found), path_of(found.location())
    before = datetime.fromtimestamp(written_before_s, UTC)
    # Listed first: what is committed after that is in the metadata that is then read.
    files = {
        posixpath.normpath(info.path): info.mtime
        for info in filesystem.get_file_info(FileSelector(folder, recursive=True))
        if info.type == FileType.File
    }
    current = found.current_snapshot()
    if current is not None and path_of(current.manifest_list) not in files:
        # Two names of one folder would make all of its files look unneeded.
        log.error("nothing is removed: the table's files are not where it is", folder=folder)
        return 0
    old = {path for path, written in files.items() if written < before}
    if not old - _needed(found.refresh()):
        return 0
    stored.append((), {}, is_young=lambda: True)
    unneeded = old - _needed(found.refresh())
    for path in unneeded:
        # Another archive may clean as well, and old metadata goes with any commit.
        with contextlib.suppress(FileNotFoundError):
            filesystem.delete_file(path)
    log.info("files removed", table=stored.name, files=len(unneeded))
    return len(unneeded)


def _needed(found: Table) -> set[str]:
    return {path_of(location) for location in _referenced(found)}


def _referenced(found: Table) -> Iterator[str]:
    """Yield the location of each file that a snapshot, or the catalog, needs."""
    yield found.metadata_location
    for entry in found.metadata.metadata_log:
        yield entry.metadata_file
    for statistics in (*found.metadata.statistics, *found.metadata.partition_statistics):
        yield statistics.statistics_path
    for snapshot in found.snapshots():
        yield snapshot.manifest_list
    for manifest in manifests_of(found):
        yield manifest.manifest_path
    for file in retained_files(found):
        yield file.file_path


def retained_files(found: Table) -> Sequence[DataFile]:
    """Return the files of all snapshots that a table still has, each once."""
    return list(
        {
            entry.data_file.file_path: entry.data_file
            for manifest in manifests_of(found)
            for entry in manifest.fetch_manifest_entry(found.io, discard_deleted=True)
        }.values()
    )


def manifests_of(found: Table) -> Collection[ManifestFile]:
    """Return the manifests of all snapshots that a table still has, each once."""
    return {
        manifest.manifest_path: manifest
        for snapshot in found.snapshots()
        for manifest in snapshot.manifests(found.io)
    }.values()
