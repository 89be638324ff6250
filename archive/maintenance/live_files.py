"""The files of a table: those that it has now, and those of all its snapshots."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Table

Partition = tuple[int, ...]
"""As `archive.writing.files.Group` has it."""


class LiveFile(NamedTuple):
    """A file of the current snapshot."""

    file: DataFile
    added_s: float
    """epoch s; 0 if the snapshot that added it has expired: it is old"""


def live_files(found: Table) -> Mapping[Partition, Sequence[LiveFile]]:
    """Return the files of a table's current snapshot, by partition."""
    files = defaultdict(list)
    current = found.current_snapshot()
    for manifest in current.manifests(found.io) if current else ():
        for entry in manifest.fetch_manifest_entry(found.io, discard_deleted=True):
            snapshot = found.snapshot_by_id(entry.snapshot_id) if entry.snapshot_id else None
            added_s = snapshot.timestamp_ms / 1_000 if snapshot else 0.0
            partition = tuple(entry.data_file.partition[n] for n in range(len(found.spec().fields)))
            files[partition].append(LiveFile(entry.data_file, added_s))
    return files


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
