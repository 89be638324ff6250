"""Whose erasure is still under way is counted, until no file has a row of theirs."""

from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from rich.console import Console

from archive.maintenance import rounds
from archive.maintenance.erasure import OF_USERS, Erasure, Pending
from archive.maintenance.rounds import maintain
from archive.reading.broker import Broker
from archive.settings import ArchiveSettings, Times
from archive.status import erasures
from contracts.archive import ERASED, FEEDBACK_TABLE, INTERACTIONS_TABLE, ArchiveTable
from runtime.kafka.config import KafkaConfig
from tests.archive.tables import TODAY_US, Tables


@pytest.fixture
def settings(tables: Tables) -> ArchiveSettings:
    return ArchiveSettings(archive=tables.config)


def measured(metric: str, table: ArchiveTable) -> float | None:
    return REGISTRY.get_sample_value(metric, {"table": table.name})


def test_an_erasure_is_pending_until_no_file_has_a_row_of_the_user(
    tables: Tables, settings: ArchiveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker(KafkaConfig())
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
    assert not maintain(tables.catalog, settings, broker, OF_USERS, is_forced=True)
    for table in OF_USERS:
        assert pending(table) == (2, 0, 2)
        assert measured("archive_erasures_pending", table) == 2
    done = [measured("archive_erased_timestamp_seconds", table) for table in OF_USERS]
    assert done == done_before, "not done yet"
    assert "feedback" in shown()
    monkeypatch.setattr(ArchiveSettings, "times", Times(0, 0))
    for _ in range(2):
        assert not maintain(tables.catalog, settings, broker, OF_USERS, is_forced=True)
    for table in OF_USERS:
        assert pending(table) == (2, 0, 0)
        assert measured("archive_erasures_pending", table) == 0
        assert measured("archive_erased_timestamp_seconds", table) == measured(
            "archive_maintained_timestamp_seconds", table
        )
    left = (Path(tables.config.warehouse) / "tickrec" / FEEDBACK_TABLE.name).rglob("*.parquet")
    assert {b"going" in path.read_bytes() for path in left} == {False}
