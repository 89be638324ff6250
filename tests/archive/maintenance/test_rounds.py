"""A round goes through each table whatever becomes of the others, and the table says when."""

import threading
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from rich.console import Console

from archive.maintenance import rounds
from archive.maintenance.erasure import OF_USERS, Erasure, Pending
from archive.maintenance.rounds import maintain, maintain_until
from archive.reading.broker import Broker
from archive.service import State
from archive.settings import ArchiveSettings, Times
from archive.status import erasures
from archive.stored_table import maintained_s
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
        target=maintain_until,
        args=(stop, tables.reopened().catalog, settings, nobody, state),
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
