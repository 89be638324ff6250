"""Which files compaction merges and what they keep; a round goes through each table regardless."""

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pyiceberg.manifest import DataFile
from pyiceberg.types import DoubleType, StringType
from rich.console import Console

from archive.maintenance import compaction, rounds
from archive.maintenance.compaction import (
    QUIET_S,
    LiveFile,
    Rule,
    chosen,
    compact,
    in_pieces_of,
    merged,
)
from archive.maintenance.erasure import OF_USERS, Erasure, Pending
from archive.maintenance.rounds import maintain, maintain_until
from archive.reading.broker import Broker
from archive.service import State
from archive.settings import ArchiveSettings, Times
from archive.status import erasures
from archive.stored_table import maintained_s
from archive.writing.files import FileWriter
from contracts.archive import (
    BARS_TABLE,
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    QUOTES_TABLE,
    TABLES,
    ArchiveTable,
)
from infra.local.process import LOOPBACK, free_port
from runtime.archive.positions import Position
from runtime.archive.tables import MAINTAINED_PROPERTY
from runtime.kafka.config import KafkaConfig
from tests.archive.tables import TODAY_US, Tables
from tests.patience import PATIENCE_S, eventually

KIB = 2**10
RULE = Rule(target_bytes=1_000 * KIB, files_good_for_s=60)
NOW_S = 1e9


def files_of(sizes: Sequence[int], added_s: float = NOW_S) -> list[LiveFile]:
    return [LiveFile(DataFile.from_args(file_size_in_bytes=size), added_s) for size in sizes]


def chosen_of(sizes: Sequence[int], added_s: float = NOW_S, rule: Rule = RULE) -> list[int]:
    return [each.file_size_in_bytes for each in chosen(files_of(sizes, added_s), rule, NOW_S)]


@pytest.mark.parametrize(
    ("sizes", "together"),
    [
        ([], []),
        ([7], []),
        ([7, 7, 7], []),
        ([7, 7, 7, 7], [7, 7, 7, 7]),
        # What was put together is left alone until there is as much again, three times.
        ([28, 7, 7, 7, 7], [7, 7, 7, 7]),
        ([28, 28, 28, 7, 7, 7, 7], [7, 7, 7, 7, 28, 28, 28]),
        ([99, 1, 20, 2, 16, 1, 1, 2, 1], [1, 1, 1, 1, 2, 2]),
        # What is half as large as a file shall be stays as it is.
        ([500 * KIB] * 9, []),
    ],
)
def test_merged_files_of_a_partition_grow_fourfold(sizes: list[int], together: list[int]) -> None:
    assert chosen_of(sizes) == together


def test_when_quiet_or_forced_all_small_files_are_merged() -> None:
    sizes = [100, 7, 500 * KIB]
    assert chosen_of(sizes) == []
    assert chosen_of(sizes, NOW_S - QUIET_S - 1) == [100, 7]
    assert chosen_of(sizes, rule=RULE._replace(is_forced=True)) == [100, 7]
    assert chosen_of([7], NOW_S - QUIET_S - 1) == []
    late = [*files_of(sizes, NOW_S - QUIET_S - 1), *files_of([7])]
    assert chosen(late, RULE, NOW_S) == []


SCHEMA = pa.schema([("user", pa.string()), ("place", pa.int64()), ("stream", pa.int64())])
keys = st.tuples(st.sampled_from(("", "a", "b", "é", "\U0001f600")), st.integers(0, 5))


def table_of(rows: list[tuple[str, int, int]]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA
    )


@st.composite
def streams(draw: st.DrawFn, *, is_sorted: bool = True) -> list[list[pa.Table]]:
    every = []
    for number in range(draw(st.integers(0, 4))):
        rows = [(*key, number) for key in draw(st.lists(keys, max_size=15))]
        if is_sorted:
            rows.sort()
        cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=6)))
        every.append([table_of(rows[i:j]) for i, j in pairwise([0, *cuts, len(rows)])])
    return every


def rows_of(tables: list[pa.Table]) -> list[tuple[str, int, int]]:
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def merge(of: list[list[pa.Table]]) -> Iterator[pa.Table]:
    return merged([iter(pieces) for pieces in of], ("user", "place"))


@given(streams(), st.integers(1, 9))
def test_rows_come_in_order_and_in_pieces_of_one_size(of: list[list[pa.Table]], size: int) -> None:
    pieces = list(in_pieces_of(size, merge(of)))
    found = rows_of(pieces)
    assert [row[:2] for row in found] == sorted(row[:2] for p in of for row in rows_of(p))
    assert sorted(found) == sorted(row for p in of for row in rows_of(p))
    assert [piece.num_rows for piece in pieces[:-1]] == [size] * (len(pieces) - 1)


AT_ONCE = Rule(2**27, 60, is_forced=True)


def fill_in(tables: Tables, table: ArchiveTable, name: str) -> None:
    """Have another engine add columns, write one, and rename it."""
    found = tables.found(table)
    with found.update_schema() as change:
        change.add_column("note", StringType())
        change.add_column("score", DoubleType())
    rows = found.refresh().scan().to_arrow()
    place = rows.schema.names.index("note")
    found.overwrite(rows.set_column(place, "note", pa.array(["theirs"] * rows.num_rows)))
    with found.refresh().update_schema() as change:
        change.rename_column("note", name)


def noted(tables: Tables, table: ArchiveTable, name: str) -> int:
    found = tables.found(table)
    return found.scan(row_filter=f"{name} = 'theirs'").to_arrow().num_rows


def test_compaction_keeps_columns_that_others_added(tables: Tables) -> None:
    tables.commit(QUOTES_TABLE, [{"ts": TODAY_US + n} for n in range(10)])
    fill_in(tables, QUOTES_TABLE, "venue")
    tables.commit(QUOTES_TABLE, [{"ts": TODAY_US + n} for n in range(10)])
    assert noted(tables, QUOTES_TABLE, "venue") == 10
    assert compact(tables.stored(QUOTES_TABLE), AT_ONCE, 0) == 2
    assert noted(tables, QUOTES_TABLE, "venue") == 10
    found = tables.found(QUOTES_TABLE)
    assert found.scan().to_arrow()["venue"].null_count == 10
    assert found.scan().to_arrow()["score"].null_count == 20


def test_merging_files_of_one_instrument_keeps_few_rows_in_memory(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_ROWS_AT_ONCE", 80)
    monkeypatch.setattr(compaction, "ROW_GROUP_ROWS", 20)
    for n in range(4):
        rows = [{"instrument_id": 7, "ts": TODAY_US + 4 * i + n} for i in range(100)]
        tables.commit(QUOTES_TABLE, rows)
    written: list[int] = []
    write = FileWriter.write

    def count(writer: FileWriter, rows: pa.Table) -> None:
        written.append(rows.num_rows)
        write(writer, rows)

    monkeypatch.setattr(FileWriter, "write", count)
    assert compact(tables.stored(QUOTES_TABLE), AT_ONCE, 0) == 4
    assert written == [20] * 20
    times = [ts for (ts,) in tables.rows(QUOTES_TABLE, "epoch_us(ts)")]
    assert times == [TODAY_US + n for n in range(400)]


@pytest.fixture
def settings(tables: Tables) -> ArchiveSettings:
    """Of an archive whose tables were last maintained long ago."""
    for table in TABLES:
        with tables.found(table).transaction() as change:
            change.set_properties({MAINTAINED_PROPERTY: "1000"})
    return ArchiveSettings(archive=tables.config)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr("archive.reading.broker._TIMEOUT_S", 0.1)
    return Broker(KafkaConfig(bootstrap_servers=f"{LOOPBACK}:{free_port()}"))


def recorded_s(tables: Tables, table: ArchiveTable) -> float:
    return maintained_s(tables.found(table))


def measured(metric: str, table: ArchiveTable) -> float:
    return REGISTRY.get_sample_value(metric, {"table": table.name}) or 0.0


def test_one_bad_file_stops_one_table(
    tables: Tables, settings: ArchiveSettings, nobody: Broker
) -> None:
    before = measured("archive_maintenance_failed_total", QUOTES_TABLE)
    for table in TABLES:
        for _ in range(2):
            tables.commit(table, [{table.day_of: TODAY_US}])
    tables.files(QUOTES_TABLE)[0].write_bytes(b"not Parquet")
    failed = maintain(tables.catalog, settings, nobody, TABLES, is_forced=True)
    assert failed.keys() == {"quotes"}
    assert "Parquet" in failed["quotes"]
    for table in TABLES:
        is_well = table is not QUOTES_TABLE
        assert len(tables.files(table)) == (1 if is_well else 2)
        assert (recorded_s(tables, table) > 1) == is_well
    assert measured("archive_maintenance_failed_total", QUOTES_TABLE) == before + 1
    since_s = time.time() - measured("archive_maintained_timestamp_seconds", BARS_TABLE)
    assert since_s < PATIENCE_S


def test_without_a_broker_users_wait_for_their_erasure_and_the_other_tables_do_not(
    tables: Tables, settings: ArchiveSettings, nobody: Broker
) -> None:
    tables.commit(INTERACTIONS_TABLE,
           [{"user_id": "a", "event": ERASED, "ts": TODAY_US}])  # fmt: skip
    failed = maintain(tables.catalog, settings, nobody, TABLES)
    assert failed.keys() == {"interactions", "feedback"}
    assert recorded_s(tables, INTERACTIONS_TABLE) == 1
    assert recorded_s(tables, QUOTES_TABLE) > 1


def test_a_bad_file_of_feedback_delays_no_erasure_elsewhere_and_keeps_the_tombstones(
    tables: Tables, settings: ArchiveSettings, monkeypatch: pytest.MonkeyPatch, nobody: Broker
) -> None:
    tables.commit(FEEDBACK_TABLE, [{"user_id": "a", "ts": TODAY_US}])
    tables.commit(INTERACTIONS_TABLE, [
        {"user_id": "a", "event": "view", "ts": TODAY_US},
        {"user_id": "a", "event": ERASED, "ts": TODAY_US + 1},
    ])  # fmt: skip
    (bad,) = tables.files(FEEDBACK_TABLE)
    good = bad.read_bytes()
    bad.write_bytes(b"not Parquet")
    place = Position("topic", 0, 2)
    monkeypatch.setattr(rounds, "_earliest_interactions", lambda _: {0: place})
    assert maintain(tables.catalog, settings, nobody, TABLES).keys() == {"feedback"}
    assert tables.rows(INTERACTIONS_TABLE, "event") == [(ERASED,)]
    bad.write_bytes(good)
    assert maintain(tables.catalog, settings, nobody, TABLES, is_forced=True) == {}
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE):
        assert tables.files(table) == []


def test_rounds_repeat_until_stopped_and_failures_are_reported(
    tables: Tables, settings: ArchiveSettings, nobody: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "EVERY_S", 0.01)
    with tables.found(QUOTES_TABLE).update_schema() as change:
        change.delete_column("size")
    stop, state = threading.Event(), State()
    thread = threading.Thread(
        target=maintain_until, args=(stop, tables.reopened().catalog, settings, nobody, state)
    )
    thread.start()
    try:
        eventually(lambda: state.waits_for is not None, "that it says what fails")
        assert "column size double" in (state.waits_for or "")
        for _ in range(4):
            tables.commit(BARS_TABLE, [{"minute": TODAY_US}])
        eventually(lambda: len(tables.files(BARS_TABLE)) == 1, "a compaction elsewhere")
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_an_erasure_is_pending_until_no_file_has_a_row_of_the_user(
    tables: Tables, settings: ArchiveSettings, monkeypatch: pytest.MonkeyPatch, nobody: Broker
) -> None:
    monkeypatch.setattr(rounds, "_earliest_interactions", lambda _: {})
    for user in ("gone", "going", "stays"):
        for table in OF_USERS:
            its = {"event": "view"} if table is INTERACTIONS_TABLE else {}
            tables.commit(table, [{"user_id": user, "ts": TODAY_US, **its}])
    for user in ("gone", "going"):
        row = {"user_id": user, "event": ERASED, "ts": TODAY_US + 1}
        tables.commit(INTERACTIONS_TABLE, [row])

    def pending(table: ArchiveTable) -> Pending:
        return Erasure(*tables, dict, 60).pending(table)

    def shown() -> str:
        console = Console(width=120)
        with console.capture() as text:
            console.print(erasures(*tables))
        return text.get()

    done_before = [measured("archive_erased_timestamp_seconds", table) for table in OF_USERS]
    for table in OF_USERS:
        assert pending(table) == (2, 2, 2)
    # The snapshots from before are still kept, for who may be reading them.
    assert not maintain(tables.catalog, settings, nobody, OF_USERS, is_forced=True)
    for table in OF_USERS:
        assert pending(table) == (2, 0, 2)
        assert measured("archive_erasures_pending", table) == 2
    done = [measured("archive_erased_timestamp_seconds", table) for table in OF_USERS]
    assert done == done_before, "not done yet"
    assert "feedback" in shown()
    monkeypatch.setattr(ArchiveSettings, "times", Times(0, 0))
    for _ in range(2):
        assert not maintain(tables.catalog, settings, nobody, OF_USERS, is_forced=True)
    for table in OF_USERS:
        assert pending(table) == (2, 0, 0)
        assert measured("archive_erasures_pending", table) == 0
        assert measured("archive_erased_timestamp_seconds", table) == measured(
            "archive_maintained_timestamp_seconds", table
        )
    left = (Path(tables.config.warehouse) / "tickrec" / FEEDBACK_TABLE.name).rglob("*.parquet")
    assert {b"going" in path.read_bytes() for path in left} == {False}
