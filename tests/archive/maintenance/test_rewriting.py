"""Files that are written again keep what others put into them, and take little memory."""

import pyarrow as pa
import pytest
from pyiceberg.types import DoubleType, StringType

from archive.maintenance import compaction
from archive.maintenance.compaction import Rule, compact
from archive.writing.files import FileWriter
from contracts.archive import ERASED, INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from tests.archive.tables import TODAY_US, Tables

RULE = Rule(2**27, 60, is_forced=True)


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
    assert compact(tables.stored(QUOTES_TABLE), RULE, 0) == 2
    assert noted(tables, QUOTES_TABLE, "venue") == 10
    found = tables.found(QUOTES_TABLE)
    assert found.scan().to_arrow()["venue"].null_count == 10
    assert found.scan().to_arrow()["score"].null_count == 20


def test_erasure_keeps_columns_that_others_added(tables: Tables) -> None:
    events = [{"user_id": user, "event": "view", "ts": TODAY_US} for user in ("gone", "stays")]
    tables.commit(INTERACTIONS_TABLE, events)
    fill_in(tables, INTERACTIONS_TABLE, "campaign")
    tombstone = {"user_id": "gone", "event": ERASED, "ts": TODAY_US + 1}
    tables.commit(INTERACTIONS_TABLE, [tombstone])
    assert tables.erase({}) == 1
    assert noted(tables, INTERACTIONS_TABLE, "campaign") == 1


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
    assert compact(tables.stored(QUOTES_TABLE), RULE, 0) == 4
    assert written == [20] * 20
    times = [ts for (ts,) in tables.rows(QUOTES_TABLE, "epoch_us(ts)")]
    assert times == [TODAY_US + n for n in range(400)]
