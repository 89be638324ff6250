"""Compaction, erasure and cleaning change nothing but what they are for."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from archive.maintenance import cleaning, erasure
from archive.maintenance.cleaning import clean
from archive.maintenance.compaction import Rule, compact
from archive.maintenance.erasure import erase
from archive.settings import Times
from archive.writing import commits
from archive.writing.commits import GoneError, TooOldError, replace
from archive.writing.files import write
from archive.writing.table_writer import TableWriter
from contracts.archive import ERASED, FEEDBACK_TABLE, INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from contracts.messages import MAX_AHEAD_MS
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Position
from runtime.archive.tables import open_table, positions_of
from tests.archive.conftest import select
from tests.archive.tables import TODAY_US, commit, rows_of

MIB = 2**20
AT_ONCE = Times(keep_replaced_s=0, unreferenced_after_s=0)


@pytest.fixture
def config(tmp_path: Path) -> ArchiveConfig:
    return ArchiveConfig(warehouse=str(tmp_path))


@pytest.fixture
def catalog(config: ArchiveConfig) -> Iterator[Catalog]:
    catalog = open_catalog(config)
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE, QUOTES_TABLE):
        open_table(catalog, config, table)
    yield catalog
    catalog.close()


def rows(catalog: Catalog, table: ArchiveTable, what: str = "*") -> list[tuple[Any, ...]]:
    return select(catalog.load_table(("tickrec", table.name)), what)


def files(catalog: Catalog, table: ArchiveTable) -> list[str]:
    found = catalog.load_table(("tickrec", table.name))
    return [task.file.file_path.removeprefix("file://") for task in found.scan().plan_files()]


def quotes(n: int) -> list[dict[str, Any]]:
    return [{"instrument_id": i % 3, "ts": TODAY_US + i, "size": i} for i in range(n)]


def test_small_files_become_one_with_the_same_rows_in_order(
    catalog: Catalog, config: ArchiveConfig
) -> None:
    for _ in range(3):
        commit(catalog, config, QUOTES_TABLE, quotes(400))
    before = sorted(rows(catalog, QUOTES_TABLE))
    positions = positions_of(catalog.load_table(("tickrec", "quotes")), QUOTES_TABLE)
    small = files(catalog, QUOTES_TABLE)
    assert compact(catalog, config, QUOTES_TABLE, Rule(MIB, 60, is_forced=True), 0) == len(small)
    assert sorted(rows(catalog, QUOTES_TABLE)) == before
    assert len(files(catalog, QUOTES_TABLE)) == len(small) / 3
    found = catalog.load_table(("tickrec", "quotes"))
    assert positions_of(found, QUOTES_TABLE) == positions
    key = 'instrument_id, ts, log, partition, "offset"'
    for file in found.scan().plan_files():
        keys = select_file(file.file.file_path, key)
        assert keys == sorted(keys)


def select_file(location: str, what: str) -> list[tuple[Any, ...]]:
    path = location.removeprefix("file://")
    with duckdb.connect() as db:
        query = f"SELECT {what} FROM read_parquet('{path}', hive_partitioning = false)"
        return db.sql(query).fetchall()


def test_new_files_are_left_alone_until_the_partition_is_quiet(
    catalog: Catalog, config: ArchiveConfig
) -> None:
    commit(catalog, config, QUOTES_TABLE, quotes(10))
    commit(catalog, config, QUOTES_TABLE, quotes(10))
    now_s = time.time()
    assert compact(catalog, config, QUOTES_TABLE, Rule(MIB, 60), now_s) == 0
    assert compact(catalog, config, QUOTES_TABLE, Rule(MIB, 60), now_s + 3_700) > 0


def test_files_of_the_current_day_are_merged_by_fours(
    catalog: Catalog, config: ArchiveConfig
) -> None:
    one = [{"ts": TODAY_US}]
    counts = []
    for _ in range(5):
        commit(catalog, config, QUOTES_TABLE, one)
        compact(catalog, config, QUOTES_TABLE, Rule(MIB, 60), time.time())
        counts.append(len(files(catalog, QUOTES_TABLE)))
    assert counts == [1, 2, 3, 1, 2]
    assert len(rows(catalog, QUOTES_TABLE)) == 5


def test_erased_users_are_gone_from_every_file(catalog: Catalog, config: ArchiveConfig) -> None:
    ts = TODAY_US
    said = [{"user_id": user, "event": "view", "ts": ts + n}
            for n in range(5) for user in ("to-be-erased", "stays")]  # fmt: skip
    commit(catalog, config, INTERACTIONS_TABLE, said)
    commit(catalog, config, FEEDBACK_TABLE, [
        {"user_id": "to-be-erased", "ts": ts}, {"user_id": "stays", "ts": ts},
        {"user_id": "to-be-erased", "ts": ts + 200},
        {"user_id": "to-be-erased", "ts": ts + 100 + MAX_AHEAD_MS * 1_000},
    ])  # fmt: skip
    commit(catalog, config, INTERACTIONS_TABLE, [
        {"user_id": "to-be-erased", "event": ERASED, "ts": ts + 100},
        {"user_id": "to-be-erased", "event": "view", "ts": ts + 101},
    ])  # fmt: skip
    positions = positions_of(catalog.load_table(("tickrec", "interactions")), INTERACTIONS_TABLE)
    # Feedback of 0.1 ms after the erasure may be from before it, by a clock that is ahead.
    assert erase(catalog, config, {}, 60) == 7
    left = rows(catalog, INTERACTIONS_TABLE, 'user_id, event, "offset"')
    assert sorted(left) == sorted(
        [("stays", "view", n) for n in range(1, 10, 2)]
        + [("to-be-erased", ERASED, 10), ("to-be-erased", "view", 11)]
    )
    assert rows(catalog, FEEDBACK_TABLE, "user_id, epoch_us(ts)") == [
        ("stays", ts),
        ("to-be-erased", ts + 100 + MAX_AHEAD_MS * 1_000),
    ]
    assert erase(catalog, config, {}, 60) == 0
    found = catalog.load_table(("tickrec", "interactions"))
    assert positions_of(found, INTERACTIONS_TABLE) == positions


def test_when_the_log_has_dropped_the_tombstone_nothing_names_the_user(
    catalog: Catalog, config: ArchiveConfig
) -> None:
    user, ts = "somebody-with-a-name", TODAY_US
    commit(catalog, config, INTERACTIONS_TABLE, [{"user_id": user, "event": "view", "ts": ts}])
    commit(catalog, config, INTERACTIONS_TABLE, [{"user_id": user, "event": ERASED, "ts": ts}])
    erase(catalog, config, {0: Position("topic", 0, 1)}, 60)
    assert rows(catalog, INTERACTIONS_TABLE, "user_id, event") == [(user, ERASED)]
    erase(catalog, config, {0: Position("topic", 0, 2)}, 60)
    assert rows(catalog, INTERACTIONS_TABLE) == []
    # The metadata that names the old files goes with the next commits.
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE):
        clean(catalog, config, table, AT_ONCE, time.time() + 1)
    left = [path for path in Path(config.warehouse).rglob("*") if path.is_file()]
    assert [path for path in left if user.encode()[:16] in path.read_bytes()] == []


def test_cleaning_leaves_what_a_snapshot_has_and_what_is_young(
    catalog: Catalog, config: ArchiveConfig
) -> None:
    commit(catalog, config, QUOTES_TABLE, quotes(400))
    commit(catalog, config, QUOTES_TABLE, quotes(400))
    compact(catalog, config, QUOTES_TABLE, Rule(MIB, 60, is_forced=True), 0)
    found = catalog.load_table(("tickrec", "quotes"))
    orphans = [
        Path(file.file_path.removeprefix("file://"))
        for file in write(found, QUOTES_TABLE, rows_of(QUOTES_TABLE, quotes(3)))
    ]
    half = orphans[0]
    os.truncate(half, half.stat().st_size // 2)
    expected = sorted(rows(catalog, QUOTES_TABLE))
    times = Times(keep_replaced_s=3_600, unreferenced_after_s=3_600)
    assert clean(catalog, config, QUOTES_TABLE, times, time.time()) == 0
    assert half.exists()
    assert len(catalog.load_table(("tickrec", "quotes")).snapshots()) == 3
    assert clean(catalog, config, QUOTES_TABLE, times, time.time() + 3_601) > len(orphans)
    assert not [path for path in orphans if path.exists()]
    # What the compaction made, and the empty one on top of it that cleaning makes.
    why = [s.summary["tickrec.why"] for s in catalog.load_table(("tickrec", "quotes")).snapshots()]
    assert why == ["compaction", "append"]
    assert sorted(rows(catalog, QUOTES_TABLE)) == expected


def test_a_commit_that_was_paused_until_its_files_were_deleted_is_redone(
    catalog: Catalog, config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    writer = TableWriter(catalog, config, QUOTES_TABLE, 60, clock_s=lambda: now_s)
    writer.buffer.begin(0, None, Position("topic", 0, 0))
    (batch,) = rows_of(
        QUOTES_TABLE, [{"offset": n, **row} for n, row in enumerate(quotes(9))]
    ).to_batches()
    writer.buffer.add(0, batch, 9)
    commit_table = catalog.commit_table

    def stand_still(*args: Any) -> Any:
        nonlocal now_s
        if not now_s:
            now_s = 3_600.0
            assert clean(open_catalog(config), config, QUOTES_TABLE, AT_ONCE, time.time() + 1) > 0
        return commit_table(*args)

    monkeypatch.setattr(catalog, "commit_table", stand_still)
    with pytest.raises(TooOldError, match="lower ARCHIVE_BUFFER_MB"):
        writer.commit()
    assert rows(catalog, QUOTES_TABLE) == []
    assert writer.commit() == frozenset()
    assert len(rows(catalog, QUOTES_TABLE)) == 9


def test_what_was_rewritten_for_too_long_is_not_committed(
    catalog: Catalog, config: ArchiveConfig
) -> None:
    event = {"user_id": "a", "event": "view", "ts": TODAY_US}
    commit(catalog, config, INTERACTIONS_TABLE, [event])
    commit(catalog, config, INTERACTIONS_TABLE, [event | {"event": ERASED}])
    before = files(catalog, INTERACTIONS_TABLE)
    with pytest.raises(TooOldError):
        compact(catalog, config, INTERACTIONS_TABLE, Rule(MIB, -1, is_forced=True), 0)
    with pytest.raises(TooOldError):
        erase(catalog, config, {}, -1)
    assert files(catalog, INTERACTIONS_TABLE) == before


def test_concurrent_deletion_does_not_stop_cleaning(
    catalog: Catalog, config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = catalog.load_table(("tickrec", "quotes"))
    orphans = [
        Path(file.file_path.removeprefix("file://"))
        for file in write(found, QUOTES_TABLE, rows_of(QUOTES_TABLE, quotes(3)))
    ]
    needed = cleaning._needed

    def needed_later(found: Table) -> set[str]:
        orphans[0].unlink(missing_ok=True)
        return needed(found)

    monkeypatch.setattr(cleaning, "_needed", needed_later)
    clean(catalog, config, QUOTES_TABLE, AT_ONCE, time.time() + 1)
    assert not [path for path in orphans if path.exists()]


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_tombstone_that_the_log_dropped_is_removed_after_all_that_it_erases(
    catalog: Catalog, config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    day_us = 86_400_000_000
    for n, event in enumerate(("view", "view", "view", ERASED)):
        row = {"user_id": "a", "event": event, "ts": TODAY_US + n % 3 * day_us}
        commit(catalog, config, INTERACTIONS_TABLE, [row])
    calls = itertools.count(1)

    def dies(*args: Any) -> None:
        if next(calls) > last:
            raise GoneError
        replace(*args)

    monkeypatch.setattr(erasure, "FILES_AT_ONCE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(commits, "replace", dies)
        with pytest.raises(GoneError):
            erase(catalog, config, {0: Position("topic", 0, 4)}, 60)
    erase(catalog, config, {0: Position("topic", 0, 4)}, 60)
    assert rows(catalog, INTERACTIONS_TABLE) == []


def test_concurrent_rewrites_of_the_same_files_do_not_duplicate_rows(
    catalog: Catalog, config: ArchiveConfig
) -> None:
    commit(catalog, config, QUOTES_TABLE, quotes(10))
    found = catalog.load_table(("tickrec", "quotes"))
    old = [task.file for task in found.scan().plan_files()]
    for is_first in (True, False):
        new = write(found, QUOTES_TABLE, rows_of(QUOTES_TABLE, quotes(10)))
        if is_first:
            replace(catalog, config, QUOTES_TABLE, old, new, lambda: True, "compaction")
        else:
            with pytest.raises(GoneError):
                replace(catalog, config, QUOTES_TABLE, old, new, lambda: True, "compaction")
    assert len(rows(catalog, QUOTES_TABLE)) == 10


def test_only_a_tag_or_branch_that_keeps_erased_rows_is_dropped(
    catalog: Catalog, config: ArchiveConfig
) -> None:
    def tag(table: ArchiveTable, name: str) -> None:
        found = catalog.load_table(("tickrec", table.name))
        current = found.current_snapshot()
        assert current is not None
        made = found.manage_snapshots()
        is_branch = name.startswith("branch")
        (made.create_branch if is_branch else made.create_tag)(current.snapshot_id, name).commit()

    user = "somebody-with-a-name"
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE):
        its = {"event": "view"} if table is INTERACTIONS_TABLE else {}
        commit(catalog, config, table, [{"user_id": "stays", "ts": TODAY_US, **its}])
        tag(table, "without")
        commit(catalog, config, table, [{"user_id": user, "ts": TODAY_US, **its}])
        tag(table, "with")
        tag(table, "branch-with")
    commit(
        catalog, config, INTERACTIONS_TABLE, [{"user_id": user, "event": ERASED, "ts": TODAY_US}]
    )
    # Rows that an earlier round took out of the table are still in what is tagged.
    for erased in (2, 0):
        assert erase(catalog, config, {0: Position("topic", 0, 0)}, 60) == erased
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE):
        assert catalog.load_table(("tickrec", table.name)).refs().keys() == {"main", "without"}
        clean(catalog, config, table, AT_ONCE, time.time() + 1)
    left = list(Path(config.warehouse).rglob("*.parquet"))
    assert len([path for path in left if user.encode() in path.read_bytes()]) == 1, "the tombstone"
