"""Compaction: which files are merged, in what order, and what the merged ones keep."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.manifest import DataFile
from pyiceberg.types import DoubleType, StringType

from archive.maintenance import compaction
from archive.maintenance.compaction import (
    QUIET_S,
    LiveFile,
    Rule,
    chosen,
    compact,
    in_pieces_of,
    merged,
)
from archive.writing.files import FileWriter
from contracts.archive import QUOTES_TABLE, ArchiveTable
from tests.archive.tables import TODAY_US, Tables

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
def test_in_a_growing_partition_each_merged_file_grows_fourfold(
    sizes: list[int], together: list[int]
) -> None:
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
def test_all_rows_come_in_order_and_in_pieces_of_one_size(
    of: list[list[pa.Table]], size: int
) -> None:
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
