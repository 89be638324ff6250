"""A round goes through each table whatever becomes of the others, and the table says when."""

import threading
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pyiceberg.catalog import Catalog

from archive.maintenance import rounds
from archive.maintenance.rounds import maintain, maintain_until
from archive.reading.broker import Broker
from archive.settings import ArchiveSettings
from archive.state import State
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
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Position
from runtime.archive.tables import MAINTAINED_PROPERTY, maintained_s, open_table
from runtime.kafka.config import KafkaConfig
from tests.archive.conftest import select
from tests.archive.tables import TODAY_US, commit
from tests.patience import PATIENCE_S, eventually


@pytest.fixture
def settings(tmp_path: Path) -> ArchiveSettings:
    return ArchiveSettings(archive=ArchiveConfig(warehouse=str(tmp_path)))


@pytest.fixture
def catalog(settings: ArchiveSettings) -> Catalog:
    catalog = open_catalog(settings.archive)
    for table in TABLES:
        open_table(catalog, settings.archive, table)
        with catalog.load_table(("tickrec", table.name)).transaction() as change:
            change.set_properties({MAINTAINED_PROPERTY: "1000"})
    return catalog


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """A broker that is away."""
    monkeypatch.setattr("archive.reading.broker._TIMEOUT_S", 0.1)
    return Broker(KafkaConfig(bootstrap_servers=f"{LOOPBACK}:{free_port()}"))


def recorded_s(catalog: Catalog, table: ArchiveTable) -> float:
    """Return when a table says that it was maintained."""
    return maintained_s(catalog.load_table(("tickrec", table.name)))


def files(catalog: Catalog, table: ArchiveTable) -> list[str]:
    found = catalog.load_table(("tickrec", table.name))
    return [task.file.file_path.removeprefix("file://") for task in found.scan().plan_files()]


def measured(metric: str, table: ArchiveTable) -> float:
    return REGISTRY.get_sample_value(metric, {"table": table.name}) or 0.0


def test_one_bad_file_stops_one_table(
    catalog: Catalog, settings: ArchiveSettings, nobody: Broker
) -> None:
    before = measured("archive_maintenance_failed_total", QUOTES_TABLE)
    for table in TABLES:
        for _ in range(4):
            commit(catalog, settings.archive, table, [{table.day_of: TODAY_US}])
    Path(files(catalog, QUOTES_TABLE)[0]).write_bytes(b"not Parquet")
    failed = maintain(catalog, settings, nobody, TABLES)
    assert failed.keys() == {"quotes"}
    assert "Parquet" in failed["quotes"]
    for table in TABLES:
        is_well = table is not QUOTES_TABLE
        assert len(files(catalog, table)) == (1 if is_well else 4)
        assert (recorded_s(catalog, table) > 1) == is_well
    assert measured("archive_maintenance_failed_total", QUOTES_TABLE) == before + 1
    since_s = time.time() - measured("archive_maintained_timestamp_seconds", BARS_TABLE)
    assert since_s < PATIENCE_S


def test_without_a_broker_users_wait_for_their_erasure_and_the_other_tables_do_not(
    catalog: Catalog, settings: ArchiveSettings, nobody: Broker
) -> None:
    commit(catalog, settings.archive, INTERACTIONS_TABLE,
           [{"user_id": "a", "event": ERASED, "ts": TODAY_US}])  # fmt: skip
    failed = maintain(catalog, settings, nobody, TABLES)
    assert failed.keys() == {"interactions", "feedback"}
    assert recorded_s(catalog, INTERACTIONS_TABLE) == 1
    assert recorded_s(catalog, QUOTES_TABLE) > 1


def test_a_bad_file_of_feedback_delays_no_erasure_elsewhere_and_keeps_the_tombstones(
    catalog: Catalog, settings: ArchiveSettings, monkeypatch: pytest.MonkeyPatch, nobody: Broker
) -> None:
    config = settings.archive
    commit(catalog, config, FEEDBACK_TABLE, [{"user_id": "a", "ts": TODAY_US}])
    commit(catalog, config, INTERACTIONS_TABLE, [
        {"user_id": "a", "event": "view", "ts": TODAY_US},
        {"user_id": "a", "event": ERASED, "ts": TODAY_US + 1},
    ])  # fmt: skip
    (bad,) = files(catalog, FEEDBACK_TABLE)
    good = Path(bad).read_bytes()
    Path(bad).write_bytes(b"not Parquet")
    place = Position("topic", 0, 2)
    monkeypatch.setattr(rounds, "_earliest_interactions", lambda _: {0: place})
    assert maintain(catalog, settings, nobody, TABLES).keys() == {"feedback"}
    assert select(catalog.load_table(("tickrec", "interactions")), "event") == [(ERASED,)]
    Path(bad).write_bytes(good)
    assert maintain(catalog, settings, nobody, TABLES, is_forced=True) == {}
    for table in (INTERACTIONS_TABLE, FEEDBACK_TABLE):
        assert files(catalog, table) == []


def test_what_was_maintained_lately_is_compacted_alone(
    catalog: Catalog, settings: ArchiveSettings, nobody: Broker
) -> None:
    assert maintain(catalog, settings, nobody, [QUOTES_TABLE]) == {}
    first_s = recorded_s(catalog, QUOTES_TABLE)
    for _ in range(4):
        commit(catalog, settings.archive, QUOTES_TABLE, [{"ts": TODAY_US}])
    assert maintain(open_catalog(settings.archive), settings, nobody, [QUOTES_TABLE]) == {}
    assert len(files(catalog, QUOTES_TABLE)) == 1
    assert recorded_s(catalog, QUOTES_TABLE) == first_s > 1


def test_rounds_repeat_until_stopped_and_failures_are_reported(
    catalog: Catalog,
    settings: ArchiveSettings,
    nobody: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds, "EVERY_S", 0.01)
    with catalog.load_table(("tickrec", "quotes")).update_schema() as change:
        change.delete_column("size")
    stop, state = threading.Event(), State()
    thread = threading.Thread(
        target=maintain_until,
        args=(stop, open_catalog(settings.archive), settings, nobody, state),
    )
    thread.start()
    try:
        eventually(lambda: state.waits_for is not None, "that it says what fails")
        assert "column size double" in (state.waits_for or "")
        for _ in range(4):
            commit(catalog, settings.archive, BARS_TABLE, [{"minute": TODAY_US}])
        eventually(lambda: len(files(catalog, BARS_TABLE)) == 1, "a compaction elsewhere")
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
