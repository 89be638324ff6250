"""The thread beside the reading goes through its tables again and again, and says when it did."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pyiceberg.catalog import Catalog

from archive.maintenance import rounds
from archive.maintenance.rounds import Maintenance
from archive.reading.broker import Broker
from archive.settings import ArchiveSettings
from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from infra.local.process import LOOPBACK, free_port
from runtime.archive.catalog import ArchiveError, open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import open_table
from runtime.kafka.config import KafkaConfig
from tests.archive.conftest import eventually
from tests.archive.tables import TODAY_US, commit
from tests.patience import PATIENCE_S


@pytest.fixture
def settings(tmp_path: Path) -> ArchiveSettings:
    return ArchiveSettings(archive=ArchiveConfig(warehouse=str(tmp_path)))


@pytest.fixture
def catalog(settings: ArchiveSettings) -> Catalog:
    catalog = open_catalog(settings.archive)
    open_table(catalog, settings.archive, QUOTES_TABLE)
    return catalog


class Running:
    """The thread, with a broker that is away."""

    def __init__(
        self, catalog: Catalog, settings: ArchiveSettings, ours: Sequence[ArchiveTable]
    ) -> None:
        nobody = Broker(KafkaConfig(bootstrap_servers=f"{LOOPBACK}:{free_port()}"))
        self.stop = threading.Event()
        self.asked = 0
        self.maintenance = Maintenance(catalog, settings, nobody, self._ours, self.stop)
        self._tables = ours
        self.maintenance.thread.start()

    def _ours(self) -> Sequence[ArchiveTable]:
        self.asked += 1
        return self._tables

    def end(self) -> Exception | None:
        self.stop.set()
        self.maintenance.thread.join(PATIENCE_S)
        return self.maintenance.error


def maintained_s(table: ArchiveTable) -> float:
    labels = {"table": table.name}
    found = REGISTRY.get_sample_value("archive_maintained_timestamp_seconds", labels)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "COMPACT_EVERY_S", 0.01)


def test_what_a_whole_round_went_through_is_told(
    catalog: Catalog, settings: ArchiveSettings
) -> None:
    before_s = time.time()
    running = Running(catalog, settings, [QUOTES_TABLE])
    eventually(lambda: maintained_s(QUOTES_TABLE) > before_s, "a round")
    first_s = maintained_s(QUOTES_TABLE)
    for _ in range(4):
        commit(catalog, settings.archive, QUOTES_TABLE, [{"ts": TODAY_US}])
    table = ("tickrec", QUOTES_TABLE.name)
    eventually(
        lambda: len(list(catalog.load_table(table).scan().plan_files())) == 1, "a compaction"
    )
    assert running.end() is None
    assert maintained_s(QUOTES_TABLE) == first_s, "a compaction alone is no whole round"


def test_a_round_that_a_server_puts_off_is_not_told_and_tried_again(
    catalog: Catalog, settings: ArchiveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive.reading.broker._TIMEOUT_S", 0.1)
    before_s = maintained_s(INTERACTIONS_TABLE)
    open_table(catalog, settings.archive, INTERACTIONS_TABLE)
    running = Running(catalog, settings, [INTERACTIONS_TABLE])
    eventually(lambda: running.asked > 1, "another try")
    assert running.end() is None
    assert maintained_s(INTERACTIONS_TABLE) == before_s


def test_a_table_that_is_not_as_it_should_be_ends_the_archive(
    catalog: Catalog, settings: ArchiveSettings
) -> None:
    with catalog.load_table(("tickrec", QUOTES_TABLE.name)).update_schema() as change:
        change.delete_column("size")
    running = Running(catalog, settings, [QUOTES_TABLE])
    assert running.stop.wait(PATIENCE_S)
    assert isinstance(running.end(), ArchiveError)
