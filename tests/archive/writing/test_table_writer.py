"""A commit is made once: by one of two writers, and by one of two attempts."""

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException

from archive.metrics import FAILED
from archive.writing import table_writer
from archive.writing.table_writer import TableWriter
from contracts.archive import QUOTES_TABLE
from runtime.archive.positions import Position
from tests.archive.tables import DAY_US, TODAY_US, Tables, rows_of
from tests.patience import eventually

AT = Position("topic", 0, 0)


def rows(first: int, n: int) -> pa.RecordBatch:
    entries = [{"offset": i, "size": i, "ts": TODAY_US} for i in range(first, first + n)]
    (batch,) = rows_of(QUOTES_TABLE, entries).to_batches()
    return batch


def spread(number: int, n: int) -> pa.RecordBatch:
    """Return the first n rows of a partition, each on another day."""
    each = [{"partition": number, "offset": i, "size": number * n + i, "ts": TODAY_US - i * DAY_US}
            for i in range(n)]  # fmt: skip
    (batch,) = rows_of(QUOTES_TABLE, each).to_batches()
    return batch


def writer(
    tables: Tables, n: int = 10, *, partition: int = 0, first: int = 0, **other: Any
) -> TableWriter:
    """Return one that has read n records of a partition, numbered from `first` on."""
    made = TableWriter(*tables, QUOTES_TABLE, 60, **other)
    made.buffer.begin(partition, None, AT)
    made.buffer.add(partition, rows(first, n), n)
    return made


def sizes(tables: Tables) -> list[float]:
    return sorted(s for (s,) in tables.rows(QUOTES_TABLE, "size"))


def test_of_two_readers_one_writes_the_records(tables: Tables) -> None:
    one, other = writer(tables, 10), writer(tables, 15)
    assert one.commit() == frozenset()
    assert other.commit() == {0}
    assert other.buffer.partitions == frozenset()
    assert sizes(tables) == list(range(10))


def test_a_commit_that_only_seemed_to_fail_is_not_repeated(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = writer(tables)
    commit_table = tables.catalog.commit_table

    def commit_and_hang_up(*args: Any) -> None:
        commit_table(*args)
        raise ConnectionResetError

    failed = FAILED.labels("quotes")._value
    before = failed.get()
    with monkeypatch.context() as patch:
        patch.setattr(tables.catalog, "commit_table", commit_and_hang_up)
        with pytest.raises(ConnectionResetError):
            one.commit()
    assert failed.get() == before + 1
    assert one.commit() == {0}
    assert sizes(tables) == list(range(10))


def test_a_commit_that_lost_a_race_is_retried_on_top_of_the_winner(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = writer(tables), writer(tables.reopened(), partition=1, first=10)
    commit_table, races = tables.catalog.commit_table, []

    def late(*args: Any) -> Any:
        if not races:
            races.append(other.commit())
        return commit_table(*args)

    monkeypatch.setattr(tables.catalog, "commit_table", late)
    assert one.commit() == frozenset()
    assert races
    assert sizes(tables) == list(range(20))
    assert tables.positions(QUOTES_TABLE).keys() == {0, 1}


def test_files_of_a_failed_attempt_are_reused_while_safe_from_cleaning(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    one = writer(tables, clock_s=lambda: now_s)

    def away(*_: Any) -> None:
        raise CommitFailedException

    with monkeypatch.context() as patch:
        patch.setattr(tables.catalog, "commit_table", away)
        patch.setattr("runtime.archive.catalog.in_races.wait", lambda _: 0)
        for now_s, files in ((0.0, 1), (59.0, 1), (61.0, 2)):  # noqa: B007 (the clock)
            with pytest.raises(CommitFailedException):
                one.commit()
            assert len(list(Path(tables.config.warehouse).rglob("*.parquet"))) == files
    assert one.commit() == frozenset()
    assert sizes(tables) == list(range(10))


def test_rows_of_many_days_come_in_commits_of_few_files_each_of_which_is_a_beat(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_writer, "FILES_MOST", 10)
    beats: list[float] = []
    one = TableWriter(*tables, QUOTES_TABLE, 60, beat=lambda: beats.append(time.monotonic()))
    for number in range(2):
        one.buffer.begin(number, None, AT)
        one.buffer.add(number, spread(number, 20), 20)
    eventually(lambda: one.is_due(0.05), "that a commit is due")
    commits = 0
    while not one.buffer.is_empty:
        assert one.is_due(0.05), "what is left is due at once"
        assert one.commit() == frozenset()
        commits += 1
        assert len(tables.files(QUOTES_TABLE)) == len(beats) <= 10 * commits
    assert commits == 3
    assert sizes(tables) == list(range(40))
    assert {p: at.next for p, at in tables.positions(QUOTES_TABLE).items()} == {0: 20, 1: 20}
    assert not one.is_due(0)
