"""Which state of the archive is read, and what is said where there is none."""

import pyarrow as pa
import pytest

from contracts.archive import INTERACTIONS_TABLE
from contracts.event_types import BUILT_IN
from contracts.log_position import LogPosition
from contracts.times import DAY_MS
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import open_table
from tests.trainer.spark.logs import Record, archive, rows
from trainer.source import SourceError
from trainer.spark.events import read_events
from trainer.spark.snapshot import read_snapshot


def test_a_snapshot_has_its_own_files_rows_and_positions(config: ArchiveConfig) -> None:
    commits = [
        [Record(0, 0, "u", 1, "view", 0)],
        [Record(0, 1, "u", 1, "view", DAY_MS), Record(1, 5, "v", 1, "view", DAY_MS)],
    ]
    ids = archive(config, commits)
    first, last = (read_snapshot(config, at) for at in (ids[0], None))
    assert (first.id, first.rows, len(first.files)) == (ids[0], 1, 1)
    assert {p: position.next for p, position in first.positions.items()} == {0: 1}
    assert (last.id, last.rows, len(last.files)) == (ids[1], 3, 2)
    assert {p: position.next for p, position in last.positions.items()} == {0: 2, 1: 6}


def test_a_snapshot_that_is_gone_is_named_and_so_are_those_that_are_there(
    config: ArchiveConfig,
) -> None:
    (there,) = archive(config, [[Record(0, 0, "u", 1, "view", 0)]])
    with pytest.raises(SourceError, match=rf"no snapshot 17 .* expired. The latest are {there}"):
        read_snapshot(config, 17)


def test_an_archive_that_was_never_written_is_no_empty_one(config: ArchiveConfig) -> None:
    with pytest.raises(SourceError, match=r"no table interactions: run `python -m archive"):
        read_snapshot(config, None)
    open_table(open_catalog(config), config, INTERACTIONS_TABLE)
    with pytest.raises(SourceError, match="no interactions yet"):
        read_snapshot(config, None)


def test_an_archive_whose_reach_is_not_known_is_refused(config: ArchiveConfig) -> None:
    table = open_table(open_catalog(config), config, INTERACTIONS_TABLE)
    table.append(rows([Record(0, 0, "u", 1, "view", 0)]))
    with pytest.raises(SourceError, match=r"no snapshot of table interactions has tickrec"):
        read_snapshot(config, None)


def test_an_earlier_place_of_the_log_cuts_rows_and_positions(config: ArchiveConfig) -> None:
    records = [Record(p, offset, "u", 1, "view", 0) for p in (0, 1, 2) for offset in range(4)]
    archive(config, [records])
    whole = read_snapshot(config, None)
    cut = whole.cut([LogPosition(0, 3), None, LogPosition(0, 4)])
    assert {p: (at.log, at.next) for p, at in cut.positions.items()} == {0: (0, 3), 2: (0, 4)}
    assert cut.until is not None
    (places,) = pa.table({"id": range(len(cut.files))}).to_batches()
    read = pa.Table.from_batches(
        read_events(iter([places]), cut.io, cut.files, BUILT_IN, cut.until)
    )
    found = sorted(zip(*(read[name].to_pylist() for name in ("partition", "offset")), strict=True))
    assert found == [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2), (2, 3)]
    with pytest.raises(SourceError, match="does not reach to offset 5 of log 0 in partition 1"):
        whole.cut([LogPosition(0, 3), LogPosition(0, 5)])
