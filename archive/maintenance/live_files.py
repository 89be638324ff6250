"""The files that a table has now, and when each of them came."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

Partition = tuple[int, ...]
"""As `archive.writing.files.Group` has it."""


class LiveFile(NamedTuple):
    """A file of the current snapshot."""

    file: DataFile
    added_s: float
    """epoch s; 0 if the snapshot that brought it is let go of: it is old"""


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
