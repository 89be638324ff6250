"""A commit is made once: by one of two writers, and by one of two attempts."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message
from hypothesis import example, given
from hypothesis import strategies as st
from pyiceberg.exceptions import CommitFailedException

from archive.metrics import FAILED, REJECTED
from archive.reading.records import Place
from archive.reading.records import rows_of as rows_of_records
from archive.writing import files, table_writer
from archive.writing.files import grouped, rows_that_fit
from archive.writing.table_writer import TableWriter
from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from contracts.messages import user_id_rule_broken
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Position
from runtime.archive.tables import open_table
from tests.archive.tables import DAY_US, TODAY_US, Tables, rows_of
from tests.examples import examples
from tests.patience import eventually

AT = Position("topic", 0, 0)
UNTRUNCATABLE = "x" * 15 + "\ud7ff" + "a"
"""Followed by a surrogate if its first 16 characters are counted up, as for a bound."""
TEXTS = st.text(
    st.characters(exclude_categories=()) | st.sampled_from("a\ud7ff\U0010ffff"), max_size=40
)
TIMES = st.integers(0, 10**15 - 1)


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
    made = TableWriter(tables.stored(QUOTES_TABLE), 60, **other)
    made.buffer.begin(partition, None, AT)
    made.buffer.add(partition, rows(first, n), n)
    return made


def sizes(tables: Tables) -> list[float]:
    return sorted(s for (s,) in tables.rows(QUOTES_TABLE, "size"))


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
        patch.setattr("runtime.archive.catalog.in_races.stop", lambda _: True)
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
    one = TableWriter(tables.stored(QUOTES_TABLE), 60, beat=lambda: beats.append(time.monotonic()))
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


def record(offset: int, user_id: str, times: tuple[int, int, int] | None) -> Message:
    """Return an event of a user, or a tombstone: its timestamp, and the times in its headers."""
    if times is None:
        value = {"user_id": user_id, "instrument_id": 1, "event": "view", "ts": TODAY_US // 1_000}
        return Message(topic="t", partition=0, offset=offset, value=json.dumps(value).encode())
    stamp_ms, *given_ms = times
    headers = zip(("last_event_before", "erased_at"), (b"%d" % ms for ms in given_ms), strict=True)
    key, stamp = user_id.encode(errors="surrogatepass"), (TIMESTAMP_CREATE_TIME, stamp_ms)
    return Message(
        topic="t", partition=0, offset=offset, key=key, timestamp=stamp, headers=[*headers]
    )


def is_valid(user_id: str) -> bool:
    is_text = not any("\ud800" <= character <= "\udfff" for character in user_id)
    return bool(user_id) and is_text and user_id_rule_broken(user_id) is None


@examples(50)
@given(
    st.lists(
        st.tuples(TEXTS, st.none() | st.tuples(st.integers(-(2**63), 2**63 - 1), TIMES, TIMES)),
        min_size=1,
    )
)
@example([(UNTRUNCATABLE, None)])
@example([("a", (253_402_300_800_000, 0, 0))])
@example([("a", (0, 10**15 - 1, 0)), ("\ud800", None)])
def test_a_record_of_any_text_and_time_is_a_row_or_rejected(
    sent: list[tuple[str, tuple[int, int, int] | None]],
) -> None:
    records = [record(n, *one) for n, one in enumerate(sent)]
    made = rows_of_records(INTERACTIONS_TABLE, Place(0, 0, (1,)), records, TODAY_US // 1_000)
    with tempfile.TemporaryDirectory() as folder:
        config = ArchiveConfig(warehouse=folder)
        tables = Tables(open_catalog(config), config)
        open_table(*tables, INTERACTIONS_TABLE)
        one = TableWriter(tables.stored(INTERACTIONS_TABLE), 60)
        one.buffer.begin(0, None, AT)
        one.buffer.add(0, made.batch, len(sent))
        assert one.commit() == frozenset()
        rows = tables.rows(INTERACTIONS_TABLE, 'user_id, "offset"')
        tables.catalog.close()
    valid = [(user_id, n) for n, (user_id, _) in enumerate(sent) if is_valid(user_id)]
    assert sorted(rows, key=lambda row: row[1]) == valid
    assert made.rejected == len(sent) - len(valid)


def test_a_row_that_cannot_be_written_is_rejected_alone(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_WHOLE_BOUNDS", {})
    users = ["a", UNTRUNCATABLE, *"bcdef"]
    one = TableWriter(tables.stored(INTERACTIONS_TABLE), 60)
    one.buffer.begin(0, None, AT)
    sent = [{"user_id": user, "offset": n, "ts": TODAY_US} for n, user in enumerate(users)]
    one.buffer.add(0, rows_of(INTERACTIONS_TABLE, sent).to_batches()[0], len(users))
    rejected = REJECTED.labels("interactions")._value
    before = rejected.get()
    assert one.commit() == frozenset()
    assert rejected.get() == before + 1
    assert {user for (user,) in tables.rows(INTERACTIONS_TABLE, "user_id")} == set("abcdef")
    assert tables.positions(INTERACTIONS_TABLE)[0].next == len(users)


def test_no_row_is_rejected_if_none_can_be_written(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, rejected = writer(tables), REJECTED.labels("quotes")._value
    before = rejected.get()
    with monkeypatch.context() as patch:
        patch.setattr(files, "_WHOLE_BOUNDS", {"write.metadata.metrics.default": "nonsense"})
        with pytest.raises(ValueError, match="nonsense"):
            one.commit()
    assert rejected.get() == before
    assert one.commit() == frozenset()
    assert sizes(tables) == list(range(10))


days = st.integers(0, 40)
placed = st.lists(st.tuples(st.integers(0, 2), days, st.integers(0, 3)), min_size=1, max_size=60)


@given(placed, st.integers(3, 20), st.sampled_from((QUOTES_TABLE, INTERACTIONS_TABLE)))
def test_the_first_rows_that_fit_need_no_more_files_and_all_are_kept_where_all_fit(
    places: list[tuple[int, int, int]], files_most: int, table: ArchiveTable
) -> None:
    ordered = sorted(places, key=lambda place: place[0])
    rows = rows_of(
        table, [{"partition": p, "ts": day * DAY_US, "instrument_id": i} for p, day, i in ordered]
    )
    fitting = rows_that_fit(table, rows, files_most)
    kept: list[int] = []
    for number in range(3):
        own = [n for n, place in enumerate(ordered) if place[0] == number]
        kept += own[: fitting.get(number, len(own))]
    files = len(list(grouped(table, rows.take(kept))))
    assert files <= files_most
    if fitting:
        assert len(list(grouped(table, rows))) > files_most
        assert all(n > 0 for n in fitting.values())
