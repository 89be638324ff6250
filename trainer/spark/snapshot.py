"""The state of the archive's `interactions` that a run learns from: one snapshot of the table."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from contracts.archive import INTERACTIONS_TABLE
from runtime.archive.catalog import ArchiveError, is_passing
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Position, PositionsError
from runtime.archive.tables import files_of, positions_of, read_table
from trainer.source import SourceError

_SHOWN: Final = 5
"""Of the snapshots that there are, so many are named where one is not: the latest."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot of `interactions`."""

    id: int
    positions: dict[int, Position]
    """partition -> how far the snapshot goes"""
    io: FileIO
    """how its files are reached"""
    files: list[str]
    """their addresses"""
    rows: int
    """in all of them"""


def read_snapshot(config: ArchiveConfig, snapshot_id: int | None) -> Snapshot:
    """Return a snapshot of `interactions`; None stands for the current one.

    Raises:
        SourceError: the archive is away, has no such table, no such snapshot of it, or not the
            columns that it must have, or how far it goes is not to be known.
    """
    with as_source_errors(config):
        table = read_table(config, INTERACTIONS_TABLE)
        return _read(table, _named(table, snapshot_id))


@contextmanager
def as_source_errors(config: ArchiveConfig) -> Iterator[None]:
    """Turn the archive's errors in the block into `SourceError`; bugs are raised unchanged."""
    try:
        yield
    except (ArchiveError, PositionsError) as error:
        raise SourceError(str(error)) from error
    except Exception as error:
        if not is_passing(error):
            raise
        raise SourceError(
            f"the archive in ARCHIVE_WAREHOUSE={config.warehouse} does not answer: {error}"
        ) from error


def _named(table: Table, snapshot_id: int | None) -> IcebergSnapshot:
    if snapshot_id is None:
        if (current := table.current_snapshot()) is None:
            raise SourceError("the archive has no interactions yet: let it run for a while")
        return current
    if (found := table.snapshot_by_id(snapshot_id)) is not None:
        return found
    latest = sorted(table.metadata.snapshots, key=lambda snapshot: -snapshot.timestamp_ms)[:_SHOWN]
    raise SourceError(
        f"the archive has no snapshot {snapshot_id} of interactions: it was never there or has "
        f"expired. The latest are {', '.join(str(s.snapshot_id) for s in latest) or 'none'}"
    )


def _read(table: Table, snapshot: IcebergSnapshot) -> Snapshot:
    files = files_of(table, snapshot)
    positions = positions_of(table, INTERACTIONS_TABLE, snapshot)
    rows = sum(file.record_count for file in files)
    return Snapshot(
        snapshot.snapshot_id, positions, table.io, [file.file_path for file in files], rows
    )
