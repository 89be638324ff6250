"""A table from before a column came gets the column, and its rows from before have null there."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from pyiceberg.table import Table
from pyiceberg.types import StringType

from archive.maintenance.compaction import Rule, compact
from archive.maintenance.erasure import erase
from archive.writing.commits import loaded
from contracts.archive import ERASED, FEEDBACK_TABLE, INTERACTIONS_TABLE
from contracts.tombstones import Tombstone, encode_tombstone
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.records import ArchivedRecord, records_of
from runtime.archive.rows import Span, sorted_rows
from runtime.archive.tables import check_table, open_table
from tests.archive.tables import DAY_US, TODAY_US, Tables

NOON_US: Final = TODAY_US + DAY_US // 2
OLD: Final = replace(
    INTERACTIONS_TABLE,
    columns=tuple(c for c in INTERACTIONS_TABLE.columns if c.name != "erased_at"),
)
EVENT: Final = {"user_id": "a", "event": "view", "instrument_id": 1, "price": 2.5}
COMPACTION: Final = Rule(2**27, 60, is_forced=True)


@pytest.fixture(params=[(), ("note", "campaign")], ids=["ours", "with theirs"])
def tables(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tables]:
    """Make an old table with rows; where somebody added columns, one has the id ours would have."""
    config = ArchiveConfig(warehouse=str(tmp_path))
    tables = Tables(open_catalog(config), config)
    open_table(*tables, FEEDBACK_TABLE)
    found = open_table(*tables, OLD)
    tables.commit(OLD, [
        EVENT | {"ts": NOON_US - 2_000},
        EVENT | {"user_id": "b", "ts": NOON_US - 1_000},
        {"user_id": "c", "event": ERASED, "ts": NOON_US, "last_event_before": NOON_US},
    ])  # fmt: skip
    with found.refresh().update_schema() as change:
        for name in request.param:
            change.add_column(name, StringType())
    yield tables
    tables.catalog.close()


def records(found: Table) -> Sequence[ArchivedRecord]:
    with sorted_rows(found, INTERACTIONS_TABLE, Span(), "log") as (_, batches):
        return [record for rows in batches for record in records_of(INTERACTIONS_TABLE, rows)]


def test_programs_that_only_read_accept_it(tables: Tables) -> None:
    found = tables.found(INTERACTIONS_TABLE)
    check_table(found, INTERACTIONS_TABLE)
    key, headers = encode_tombstone(Tombstone("c", last_event_before_ms=NOON_US // 1_000))
    assert [record.key for record in records(found)] == [b"a", b"b", key]
    assert records(found)[2].headers == headers


@pytest.mark.parametrize("opened", [open_table, loaded])
def test_writers_add_the_column(tables: Tables, opened: Any) -> None:
    rows = tables.found(INTERACTIONS_TABLE).scan().to_arrow()
    for _ in range(2):
        found = opened(*tables, INTERACTIONS_TABLE)
        assert "erased_at" in found.schema().column_names
    evolved = tables.found(INTERACTIONS_TABLE)
    assert evolved.schema() == found.schema()
    assert evolved.scan().to_arrow().select(rows.column_names) == rows
    assert evolved.scan().to_arrow()["erased_at"].null_count == 3


def test_rows_of_before_and_after_are_read_merged_and_erased(tables: Tables) -> None:
    tombstone = {"user_id": "a", "event": ERASED, "ts": NOON_US + 5_000}
    tables.commit(INTERACTIONS_TABLE, [tombstone | {"erased_at": NOON_US}])
    found = tables.found(INTERACTIONS_TABLE)
    headers = [("erased_at", b"%d" % (NOON_US // 1_000))]
    assert records(found)[3] == ArchivedRecord(b"a", None, headers)
    assert erase(*tables, {}, 60) == 1
    late = [EVENT | {"ts": NOON_US + us} for us in (-1_000, 0)]
    tables.commit(INTERACTIONS_TABLE, late)
    assert compact(*tables, INTERACTIONS_TABLE, COMPACTION, 0) == 3
    assert erase(*tables, {}, 60) == 1
    left = tables.rows(INTERACTIONS_TABLE, 'user_id, event, "offset", epoch_us(erased_at)')
    assert sorted(left) == [
        ("a", "erased", 3, NOON_US),
        ("a", "view", 5, None),
        ("b", "view", 1, None),
        ("c", "erased", 2, None),
    ]


def test_concurrent_additions_add_it_once(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_table, first = tables.catalog.commit_table, True

    def late(*args: Any) -> Any:
        nonlocal first
        if first:
            first = False
            open_table(*tables.reopened(), INTERACTIONS_TABLE)
        return commit_table(*args)

    monkeypatch.setattr(tables.catalog, "commit_table", late)
    names = open_table(*tables, INTERACTIONS_TABLE).schema().column_names
    assert names.count("erased_at") == 1
