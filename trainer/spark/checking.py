"""Whether the archive is fit to be counted: what is checked before Spark reads its interactions."""

import time

import structlog

from contracts.archive import INTERACTIONS_TABLE
from runtime.archive.catalog import ArchiveError
from runtime.archive.config import ArchiveConfig
from runtime.archive.quality.checking import Checked, check_snapshot, context_of
from runtime.archive.tables import read_table
from trainer.source import SourceError
from trainer.spark.snapshot import as_source_errors

log = structlog.get_logger(__name__)


def check_archive(config: ArchiveConfig, snapshot_id: int) -> None:
    """Check the rows of a snapshot of `interactions`.

    Raises:
        SourceError: some are not as they are expected to be, or cannot be read; names each
            expectation that is not met, by how many rows, and some of them.
    """
    with as_source_errors(config):
        checked = _checked(config, snapshot_id)
    if checked.failed:
        raise SourceError(
            f"snapshot {snapshot_id} of {checked.table} is not counted: "
            + "; ".join(map(str, checked.failed))
            + ". `python -m archive check --docs FOLDER` shows all of it; name a --snapshot from "
            "before, or put the table right with Iceberg"
        )
    log.info("archive checked", rows=checked.rows, expectations=checked.expectations)


def _checked(config: ArchiveConfig, snapshot_id: int) -> Checked:
    found = read_table(config, INTERACTIONS_TABLE)
    snapshot = found.snapshot_by_id(snapshot_id)
    if snapshot is None:
        raise ArchiveError(f"the archive has no snapshot {snapshot_id} any more: it has expired")
    now_ms = time.time_ns() // 1_000_000
    return check_snapshot(found, INTERACTIONS_TABLE, snapshot, now_ms, context_of())
