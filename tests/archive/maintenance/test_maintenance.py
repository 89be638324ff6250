"""Compaction, erasure and cleaning change nothing but what they are for."""

import itertools
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.maintenance import erasure
from archive.maintenance.cleaning import clean
from archive.maintenance.compaction import Rule, compact
from archive.maintenance.user_rows import Event, RecordPlace, TombstoneRow, taken_out
from archive.settings import Times
from archive.stored_table import GoneError, StoredTable, TooOldError
from archive.writing.files import write
from archive.writing.table_writer import TableWriter
from contracts.archive import ERASED, FEEDBACK_TABLE, INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from contracts.messages import MAX_AHEAD_MS
from contracts.tombstones import Tombstone
from runtime.archive.positions import Position
from tests.archive.tables import TODAY_US, Tables, rows_of

MIB = 2**20
AT_ONCE = Times(keep_replaced_s=0, unreferenced_after_s=0)


def quotes(n: int) -> list[dict[str, Any]]:
    return [{"instrument_id": i % 3, "ts": TODAY_US + i, "size": i} for i in range(n)]


def test_erased_users_are_gone_from_every_file(tables: Tables) -> None:
    ts = TODAY_US
    said = [{"user_id": user, "event": "view", "ts": ts + n}
            for n in range(5) for user in ("to-be-erased", "stays")]  # fmt: skip
    tables.commit(INTERACTIONS_TABLE, said)
    tables.commit(FEEDBACK_TABLE, [
        {"user_id": "to-be-erased", "ts": ts}, {"user_id": "stays", "ts": ts},
        {"user_id": "to-be-erased", "ts": ts + 200},
        {"user_id": "to-be-erased", "ts": ts + 100 + MAX_AHEAD_MS * 1_000},
    ])  # fmt: skip
    tables.commit(INTERACTIONS_TABLE, [
        {"user_id": "to-be-erased", "event": ERASED, "ts": ts + 100},
        {"user_id": "to-be-erased", "event": "view", "ts": ts + 101},
    ])  # fmt: skip
    positions = tables.positions(INTERACTIONS_TABLE)
    # Feedback of 0.1 ms after the erasure may be from before it, by a clock that is ahead.
    assert tables.erase({}) == 7
    left = tables.rows(INTERACTIONS_TABLE, 'user_id, event, "offset"')
    assert sorted(left) == sorted(
        [("stays", "view", n) for n in range(1, 10, 2)]
        + [("to-be-erased", ERASED, 10), ("to-be-erased", "view", 11)]
    )
    assert tables.rows(FEEDBACK_TABLE, "user_id, epoch_us(ts)") == [
        ("stays", ts),
        ("to-be-erased", ts + 100 + MAX_AHEAD_MS * 1_000),
    ]
    assert tables.erase({}) == 0
    assert tables.positions(INTERACTIONS_TABLE) == positions


def test_when_the_log_has_dropped_the_tombstone_nothing_names_the_user(tables: Tables) -> None:
    user, ts = "somebody-with-a-name", TODAY_US
    tables.commit(INTERACTIONS_TABLE, [{"user_id": user, "event": "view", "ts": ts}])
    tables.commit(INTERACTIONS_TABLE, [{"user_id": user, "event": ERASED, "ts": ts}])
    tables.erase({0: Position("topic", 0, 1)}, 60)
    assert tables.rows(INTERACTIONS_TABLE, "user_id, event") == [(user, ERASED)]
    tables.erase({0: Position("topic", 0, 2)}, 60)
    assert tables.rows(INTERACTIONS_TABLE) == []
    # The metadata that names the old files goes with the next commits.
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE):
        clean(tables.stored(table), AT_ONCE, time.time() + 1)
    left = [path for path in Path(tables.config.warehouse).rglob("*") if path.is_file()]
    assert [path for path in left if user.encode()[:16] in path.read_bytes()] == []


def test_cleaning_leaves_what_a_snapshot_has_and_what_is_young(tables: Tables) -> None:
    tables.commit(QUOTES_TABLE, quotes(400))
    tables.commit(QUOTES_TABLE, quotes(400))
    compact(tables.stored(QUOTES_TABLE), Rule(MIB, 60, is_forced=True), 0)
    orphans = tables.write_unreferenced(QUOTES_TABLE, quotes(3))
    half = orphans[0]
    os.truncate(half, half.stat().st_size // 2)
    expected = sorted(tables.rows(QUOTES_TABLE))
    times = Times(keep_replaced_s=3_600, unreferenced_after_s=3_600)
    assert clean(tables.stored(QUOTES_TABLE), times, time.time()) == 0
    assert half.exists()
    assert len(tables.found(QUOTES_TABLE).snapshots()) == 3
    assert clean(tables.stored(QUOTES_TABLE), times, time.time() + 3_601) > len(orphans)
    assert not [path for path in orphans if path.exists()]
    # What the compaction made, and the empty one on top of it that cleaning makes.
    why = [s.summary["tickrec.why"] for s in tables.found(QUOTES_TABLE).snapshots()]
    assert why == ["compaction", "append"]
    assert sorted(tables.rows(QUOTES_TABLE)) == expected


def test_a_commit_that_was_paused_until_its_files_were_deleted_is_redone(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    writer = TableWriter(tables.stored(QUOTES_TABLE), 60, clock_s=lambda: now_s)
    writer.buffer.begin(0, None, Position("topic", 0, 0))
    (batch,) = rows_of(
        QUOTES_TABLE, [{"offset": n, **row} for n, row in enumerate(quotes(9))]
    ).to_batches()
    writer.buffer.add(0, batch, 9)
    commit_table = tables.catalog.commit_table

    def stand_still(*args: Any) -> Any:
        nonlocal now_s
        if not now_s:
            now_s = 3_600.0
            assert clean(tables.reopened().stored(QUOTES_TABLE), AT_ONCE, time.time() + 1) > 0
        return commit_table(*args)

    monkeypatch.setattr(tables.catalog, "commit_table", stand_still)
    with pytest.raises(TooOldError, match="lower ARCHIVE_BUFFER_MB"):
        writer.commit()
    assert tables.rows(QUOTES_TABLE) == []
    assert writer.commit() == frozenset()
    assert len(tables.rows(QUOTES_TABLE)) == 9


def test_what_was_rewritten_for_too_long_is_not_committed(tables: Tables) -> None:
    event = {"user_id": "a", "event": "view", "ts": TODAY_US}
    tables.commit(INTERACTIONS_TABLE, [event])
    tables.commit(INTERACTIONS_TABLE, [event | {"event": ERASED}])
    before = tables.files(INTERACTIONS_TABLE)
    with pytest.raises(TooOldError):
        compact(tables.stored(INTERACTIONS_TABLE), Rule(MIB, -1, is_forced=True), 0)
    with pytest.raises(TooOldError):
        tables.erase({}, -1)
    assert tables.files(INTERACTIONS_TABLE) == before


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_tombstone_that_the_log_dropped_is_removed_after_all_that_it_erases(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    day_us = 86_400_000_000
    for n, event in enumerate(("view", "view", "view", ERASED)):
        row = {"user_id": "a", "event": event, "ts": TODAY_US + n % 3 * day_us}
        tables.commit(INTERACTIONS_TABLE, [row])
    calls, replace = itertools.count(1), StoredTable.replace

    def dies(*args: Any) -> None:
        if next(calls) > last:
            raise GoneError
        replace(*args)

    monkeypatch.setattr(erasure, "FILES_AT_ONCE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(StoredTable, "replace", dies)
        with pytest.raises(GoneError):
            tables.erase({0: Position("topic", 0, 4)}, 60)
    tables.erase({0: Position("topic", 0, 4)}, 60)
    assert tables.rows(INTERACTIONS_TABLE) == []


def test_concurrent_rewrites_of_the_same_files_do_not_duplicate_rows(tables: Tables) -> None:
    tables.commit(QUOTES_TABLE, quotes(10))
    found = tables.found(QUOTES_TABLE)
    old = [task.file for task in found.scan().plan_files()]
    for is_first in (True, False):
        new = write(found, QUOTES_TABLE, rows_of(QUOTES_TABLE, quotes(10)))
        if is_first:
            tables.stored(QUOTES_TABLE).replace(old, new, lambda: True, "compaction")
        else:
            with pytest.raises(GoneError):
                tables.stored(QUOTES_TABLE).replace(old, new, lambda: True, "compaction")
    assert len(tables.rows(QUOTES_TABLE)) == 10


def test_only_a_tag_or_branch_that_keeps_erased_rows_is_dropped(tables: Tables) -> None:
    def tag(table: ArchiveTable, name: str) -> None:
        found = tables.found(table)
        current = found.current_snapshot()
        assert current is not None
        made = found.manage_snapshots()
        is_branch = name.startswith("branch")
        (made.create_branch if is_branch else made.create_tag)(current.snapshot_id, name).commit()

    user = "somebody-with-a-name"
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE):
        its = {"event": "view"} if table is INTERACTIONS_TABLE else {}
        tables.commit(table, [{"user_id": "stays", "ts": TODAY_US, **its}])
        tag(table, "without")
        tables.commit(table, [{"user_id": user, "ts": TODAY_US, **its}])
        tag(table, "with")
        tag(table, "branch-with")
    tables.commit(INTERACTIONS_TABLE, [{"user_id": user, "event": ERASED, "ts": TODAY_US}])
    # Rows that an earlier round took out of the table are still in what is tagged.
    for erased in (2, 0):
        assert tables.erase({0: Position("topic", 0, 0)}, 60) == erased
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE):
        assert tables.found(table).refs().keys() == {"main", "without"}
        clean(tables.stored(table), AT_ONCE, time.time() + 1)
    left = list(Path(tables.config.warehouse).rglob("*.parquet"))
    assert len([path for path in left if user.encode() in path.read_bytes()]) == 1, "the tombstone"


USERS = ("a", "b")
places = st.builds(RecordPlace, st.integers(0, 1), st.just(0), st.integers(0, 30))


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Event], list[TombstoneRow]]:
    """One partition, each place of it once; brokers' times rise, and clients' are any."""
    taken = sorted(draw(st.sets(places, max_size=25)))
    events, tombstones = [], []
    for n, place in enumerate(taken):
        user = draw(st.sampled_from(USERS))
        if draw(st.booleans()):
            events.append(Event(user, place, draw(st.integers(0, len(taken)))))
        else:
            bound = draw(st.none() | st.integers(0, len(taken)))
            erased_at = draw(st.none() | st.integers(0, len(taken)))
            tombstones.append(TombstoneRow(user, place, n, bound, erased_at))
    return events, tombstones


@given(logs())
def test_erasure_leaves_what_a_fold_would_keep(log: tuple[list[Event], list[TombstoneRow]]) -> None:
    events, tombstones = log
    kept: dict[str, list[Event]] = {user: [] for user in USERS}
    left_out_before = dict.fromkeys(USERS, 0)
    records: list[Event | TombstoneRow] = [*events, *tombstones]
    for record in sorted(records, key=lambda record: record.place):
        mine, user = kept[record.user_id], record.user_id
        if isinstance(record, Event):
            if record.ts_us >= left_out_before[user]:
                mine.append(record)
            continue
        last = max((event.ts_us for event in mine), default=-1)
        # Whatever the unit of its times is.
        tombstone = Tombstone(user, record.last_event_before_us, record.erased_at_us)
        if not tombstone.applies_to(last):
            continue
        before = tombstone.leaves_out_before_ms(last)
        left_out_before[user] = max(left_out_before[user], before)
        mine.clear()
    left = {place for of_user in kept.values() for _, place, _ in of_user}
    gone = taken_out(events, tombstones)
    assert {event.place for event in events} - gone.places == left


def test_in_another_partition_the_time_decides_and_clocks_may_be_ahead() -> None:
    tombstone = TombstoneRow("a", RecordPlace(1, 0, 5), 100)
    at_us = 100 + MAX_AHEAD_MS * 1_000
    events = [Event("a", RecordPlace(0, 3, n), us) for n, us in enumerate((99, at_us - 1, at_us))]
    assert {place.offset for place in taken_out(events, [tombstone]).places} == {0, 1}


def test_an_event_older_than_the_erasure_is_erased_however_late_it_arrives() -> None:
    """A round before has erased what came before the tombstone: its time is all that is known."""
    late = [Event("a", RecordPlace(0, 0, n), us) for n, us in enumerate((99, 100), start=3)]
    for bound_us, offsets in ((None, {3}), (200, set())):
        tombstone = TombstoneRow("a", RecordPlace(0, 0, 2), 1_000, bound_us, erased_at_us=100)
        assert {place.offset for place in taken_out(late, [tombstone]).places} == offsets
