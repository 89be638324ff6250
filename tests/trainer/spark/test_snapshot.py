"""Which state of the archive is read, and what is made of its batches, without Spark."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.archive import ERASED, INTERACTIONS_TABLE
from contracts.event_types import BUILT_IN
from contracts.times import DAY_MS
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import open_table
from runtime.settings import FoldingSettings
from tests.oracles.gram import gram_matrix
from tests.trainer.spark.logs import Record, archive, rows
from trainer.source import SourceError
from trainer.spark import cooccurrences
from trainer.spark.cooccurrences import count_blocks, gram_of_cells, items_of, user_items_of
from trainer.spark.events import RowsError, columns_of, read_events
from trainer.spark.histories import fold_histories
from trainer.spark.snapshot import read_snapshot


def test_a_snapshot_has_its_own_files_rows_and_positions(config: ArchiveConfig) -> None:
    commits = [
        [Record(0, 0, "u", 1, "view", 0)],
        [Record(0, 1, "u", 1, "view", DAY_MS), Record(1, 5, "v", 1, "view", DAY_MS)],
    ]
    ids = archive(config, commits)
    first, last = (read_snapshot(config, at) for at in (ids[0], None))
    assert (first.id, first.rows, len(first.files)) == (ids[0], 1, 1)
    assert {p: position.next for p, position in first.positions.items()} == {0: 1}
    assert (last.id, last.rows, len(last.files)) == (ids[1], 3, 2)
    assert {p: position.next for p, position in last.positions.items()} == {0: 2, 1: 6}
    (places,) = pa.table({"place": range(2)}).to_batches()
    read = pa.Table.from_batches(read_events(iter([places]), last.io, last.files, BUILT_IN))
    assert sorted(read["ts_ms"].to_pylist()) == [0, DAY_MS, DAY_MS]


def test_a_missing_snapshot_is_named_and_so_are_those_that_are_there(config: ArchiveConfig) -> None:
    (there,) = archive(config, [[Record(0, 0, "u", 1, "view", 0)]])
    with pytest.raises(SourceError, match=rf"no snapshot 17 .* expired. The latest are {there}"):
        read_snapshot(config, 17)


def test_an_archive_that_was_never_written_is_no_empty_one(config: ArchiveConfig) -> None:
    with pytest.raises(SourceError, match=r"no table interactions: run `python -m archive"):
        read_snapshot(config, None)
    open_table(open_catalog(config), config, INTERACTIONS_TABLE)
    with pytest.raises(SourceError, match="no interactions yet"):
        read_snapshot(config, None)


def test_an_archive_whose_reach_is_not_known_is_refused(config: ArchiveConfig) -> None:
    table = open_table(open_catalog(config), config, INTERACTIONS_TABLE)
    table.append(rows([Record(0, 0, "u", 1, "view", 0)]))
    with pytest.raises(SourceError, match=r"no snapshot of table interactions has tickrec"):
        read_snapshot(config, None)


CAP = 3
RULES = FoldingSettings(history_cap=CAP)

events = st.tuples(
    st.sampled_from(["ann", "bob", "eve", "zoë"]),
    st.one_of(st.none(), st.integers(0, 6)),
    st.integers(0, 20),
)


class Broadcast:
    def __init__(self, value: Any) -> None:
        self.value = value


def records(log: list[Any]) -> list[Record]:
    """Return a log, by user and in its order, as Spark hands it on; no item: the user is erased."""
    made = [
        Record(0, offset, user, item, ERASED if item is None else "view", ts_ms)
        for offset, (user, item, ts_ms) in enumerate(log)
    ]
    return sorted(made, key=lambda record: (record.user_id.encode(), record.offset))


def batches(made: list[Record], cuts: list[int]) -> Iterator[pa.RecordBatch]:
    bounds = [0, *sorted(min(cut, len(made)) for cut in cuts), len(made)]
    for start, stop in pairwise(bounds):
        if part := rows(made[start:stop]).to_batches():
            yield columns_of(part[0], BUILT_IN, "a file")


def histories(made: list[Record], cuts: list[int]) -> list[pa.RecordBatch]:
    return list(fold_histories(batches(made, cuts), RULES))


@given(log=st.lists(events, max_size=40), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_where_batches_end_does_not_matter(log: list[Any], cuts: list[int]) -> None:
    made = records(log)
    cut, whole = (
        {row["user"]: row for batch in histories(made, where) for row in batch.to_pylist()}
        for where in (cuts, [])
    )
    assert cut == whole
    assert sum(batch.num_rows for batch in histories(made, cuts)) == len(whole)


@given(
    log=st.lists(events, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    pairs=st.integers(1, 12),
)
def test_blocks_of_users_add_up_to_all_counts(log: list[Any], cuts: list[int], pairs: int) -> None:
    made = histories(records(log), cuts)
    (found,) = items_of(iter(made))
    items = found["item"].to_numpy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooccurrences, "PAIRS_PER_BLOCK", pairs)
        counted = list(count_blocks(iter(made), Broadcast(items)))
    empty = {"cell": pa.array([], pa.int64()), "count": pa.array([], pa.float64())}
    cells = pa.concat_tables([pa.table(empty), *(pa.Table.from_batches([b]) for b in counted)])
    added = cells.group_by("cell").aggregate([("count", "sum")]).rename_columns(["cell", "count"])
    gram = gram_of_cells(items, added)

    if not made:
        assert gram.counts.shape == (0, 0)
        return
    user_items = user_items_of(pa.Table.from_batches(made))
    assert np.diff(user_items.affinities.indptr).max() <= CAP
    assert user_items.items.tolist() == items.tolist()
    affinities = user_items.affinities.toarray()
    np.testing.assert_array_equal(gram.counts.toarray(), gram_matrix(affinities))
    assert gram.counts.has_sorted_indices


def test_what_a_transaction_was_worth_is_price_times_quantity_or_one_piece() -> None:
    made = [
        Record(0, 0, "u", 1, "trade", 0, price=2.5, quantity=4),
        Record(0, 1, "u", 1, "trade", 0, price=2.5),
        Record(0, 2, "u", 1, "trade", 0, quantity=4),
    ]
    (batch,) = rows(made).to_batches()
    values = columns_of(batch, BUILT_IN, "a file")["value"].to_numpy()
    np.testing.assert_array_equal(values, [10, 2.5, np.nan])


def test_what_is_older_than_the_erasure_of_its_user_is_left_out_however_late_it_comes() -> None:
    made = [
        Record(0, 0, "u", None, ERASED, 70, erased_at_ms=50),
        Record(0, 1, "u", 1, "view", 49),
        Record(0, 2, "u", 2, "view", 50),
    ]
    (batch,) = histories(made, [])
    (items,) = items_of(iter([batch]))
    assert items["item"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Record(0, 0, "u", 1, "sold", 0), "a file: event 'sold' is none of view"),
        (Record(0, 0, "u", None, "view", 0), "a file: an event has no instrument_id"),
    ],
)
def test_a_row_that_the_archive_does_not_write_is_named(record: Record, why: str) -> None:
    (batch,) = rows([record]).to_batches()
    with pytest.raises(RowsError, match=why):
        columns_of(batch, BUILT_IN, "a file")
