"""A commit is made once: by one of two writers, and by one of two attempts."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException

from archive.metrics import FAILED
from archive.writing import table_writer
from archive.writing.table_writer import TableWriter
from contracts.archive import QUOTES_TABLE
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Position
from runtime.archive.tables import open_table, positions_of
from tests.archive.conftest import select
from tests.archive.tables import DAY_US, TODAY_US, rows_of
from tests.patience import eventually

AT = Position("topic", 0, 0)


@pytest.fixture
def config(tmp_path: Path) -> ArchiveConfig:
    return ArchiveConfig(warehouse=str(tmp_path))


@pytest.fixture
def catalog(config: ArchiveConfig) -> Iterator[Catalog]:
    catalog = open_catalog(config)
    open_table(catalog, config, QUOTES_TABLE)
    yield catalog
    catalog.close()


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


def writer(catalog: Catalog, config: ArchiveConfig, **other: Any) -> TableWriter:
    return TableWriter(catalog, config, QUOTES_TABLE, 60, **other)


def sizes(catalog: Catalog) -> list[float]:
    return sorted(s for (s,) in select(catalog.load_table(("tickrec", "quotes")), "size"))


def test_of_two_readers_one_writes_the_records(catalog: Catalog, config: ArchiveConfig) -> None:
    two = writer(catalog, config), writer(catalog, config)
    for one, n in zip(two, (10, 15), strict=True):
        one.buffer.begin(0, None, AT)
        one.buffer.add(0, rows(0, n), n)
    assert two[0].commit() == frozenset()
    assert two[1].commit() == {0}
    assert two[1].buffer.partitions == frozenset()
    assert sizes(catalog) == list(range(10))


def test_a_commit_that_only_seemed_to_fail_is_not_repeated(
    catalog: Catalog, config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = writer(catalog, config)
    one.buffer.begin(0, None, AT)
    one.buffer.add(0, rows(0, 10), 10)
    commit_table = catalog.commit_table

    def commit_and_hang_up(*args: Any) -> None:
        commit_table(*args)
        raise ConnectionResetError

    failed = FAILED.labels("quotes")._value
    before = failed.get()
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "commit_table", commit_and_hang_up)
        with pytest.raises(ConnectionResetError):
            one.commit()
    assert failed.get() == before + 1
    assert one.commit() == {0}
    assert sizes(catalog) == list(range(10))


def test_a_commit_that_lost_a_race_is_retried_on_top_of_the_winner(
    catalog: Catalog, config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = writer(catalog, config), writer(open_catalog(config), config)
    for number, each in enumerate((one, other)):
        each.buffer.begin(number, None, AT)
        each.buffer.add(number, rows(10 * number, 10), 10)
    commit_table, races = catalog.commit_table, []

    def late(*args: Any) -> Any:
        if not races:
            races.append(other.commit())
        return commit_table(*args)

    monkeypatch.setattr(catalog, "commit_table", late)
    assert one.commit() == frozenset()
    assert races
    assert sizes(catalog) == list(range(20))
    found = catalog.load_table(("tickrec", "quotes"))
    assert positions_of(found, QUOTES_TABLE).keys() == {0, 1}


def test_files_of_a_failed_attempt_are_reused_while_safe_from_cleaning(
    catalog: Catalog, config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    one = writer(catalog, config, clock_s=lambda: now_s)
    one.buffer.begin(0, None, AT)
    one.buffer.add(0, rows(0, 10), 10)

    def away(*_: Any) -> None:
        raise CommitFailedException

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "commit_table", away)
        patch.setattr("runtime.archive.catalog.in_races.wait", lambda _: 0)
        for now_s, files in ((0.0, 1), (59.0, 1), (61.0, 2)):  # noqa: B007 (the clock)
            with pytest.raises(CommitFailedException):
                one.commit()
            assert len(list(Path(config.warehouse).rglob("*.parquet"))) == files
    assert one.commit() == frozenset()
    assert sizes(catalog) == list(range(10))


def test_rows_of_many_days_come_in_commits_of_few_files_each_of_which_is_a_beat(
    catalog: Catalog, config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_writer, "FILES_MOST", 10)
    beats: list[float] = []
    one = writer(catalog, config, beat=lambda: beats.append(time.monotonic()))
    for number in range(2):
        one.buffer.begin(number, None, AT)
        one.buffer.add(number, spread(number, 20), 20)
    eventually(lambda: one.is_due(0.05), "that a commit is due")
    commits = 0
    while not one.buffer.is_empty:
        assert one.is_due(0.05), "what is left is due at once"
        assert one.commit() == frozenset()
        commits += 1
        found = catalog.load_table(("tickrec", "quotes"))
        assert len(list(found.scan().plan_files())) == len(beats) <= 10 * commits
    assert commits == 3
    assert sizes(catalog) == list(range(40))
    assert {p: at.next for p, at in positions_of(found, QUOTES_TABLE).items()} == {0: 20, 1: 20}
    assert not one.is_due(0)
