"""What the trainer takes from Redis."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from rich.progress import Progress

from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition, user_partition
from runtime.stores import Store
from trainer.counts import gram as counts
from trainer.counts.gram import parse_rows, read_gram
from trainer.counts.histories import parse_history, read_user_items, user_items_of
from trainer.counts.pipelines import CorruptValueError
from trainer.stages import Stages

PARTITIONS = 3
Fill = Callable[..., npt.NDArray[np.float64]]


@pytest.fixture
def stages() -> Stages:
    return Stages(lambda: None, Progress(disable=True))


@pytest.mark.parametrize("ids_an_item", [16, 0])
@pytest.mark.parametrize("long_row", [5_000, 2])
def test_the_gram_matrix_is_read_to_the_last_digit(
    store: Store,
    keyspace: Keyspace,
    fill: Fill,
    stages: Stages,
    long_row: int,
    ids_an_item: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counts, "LONG_ROW", long_row)  # rows above it are read bit by bit
    monkeypatch.setattr(counts, "_IDS_AN_ITEM", ids_an_item)  # places from a table, or by search
    monkeypatch.setattr(counts, "FIELDS_PER_BLOCK", 30)
    random = np.random.default_rng(0)
    affinities = fill(random.random((30, 20)) * (random.random((30, 20)) < 0.2))
    gram = read_gram(store, keyspace, PARTITIONS, stages)
    had = np.flatnonzero(affinities.any(axis=0))
    assert gram.items.tolist() == (100 + had).tolist()
    assert (gram.counts.toarray() == (affinities.T @ affinities)[np.ix_(had, had)]).all()


def test_nothing_in_redis_is_an_empty_matrix(
    store: Store, keyspace: Keyspace, stages: Stages
) -> None:
    assert read_gram(store, keyspace, PARTITIONS, stages).counts.shape == (0, 0)
    users = read_user_items(store, keyspace, PARTITIONS, 10, stages)
    assert users.affinities.shape == (0, 0)


@pytest.mark.parametrize("far", [9, 2**63 - 1])
def test_a_pair_is_left_out_while_the_other_items_row_is_not_there(far: int) -> None:
    hashes = {
        "cooc:3": {"3": "2", "7": "1", str(far): "1", "-2": "1", str(2**62): "1", "10": "1"},
        "cooc:far": {str(far): "1"},
    }
    rows = parse_rows(np.array([3, far]), hashes)
    assert rows.columns.tolist() == [0, 1, 1]
    assert rows.data.tolist() == [2, 1, 1]
    assert rows.lengths.tolist() == [2, 1]


@pytest.mark.parametrize("fields", [{"3": "two"}, {"x": "2"}, {"3": "inf"}, {str(2**64): "1"}])
def test_a_row_that_is_no_row_is_named(fields: dict[str, str]) -> None:
    with pytest.raises(CorruptValueError, match=r"live:cooc:\{c0\}:3 .* Repair or delete that key"):
        parse_rows(np.array([3]), {"live:cooc:{c0}:3": fields})


def test_histories_of_the_latest_active_users_come_with_their_offsets(
    store: Store, keyspace: Keyspace, fill: Fill, stages: Stages
) -> None:
    affinities = fill(np.random.default_rng(0).random((9, 4)), offset=41)
    users = read_user_items(store, keyspace, PARTITIONS, 5, stages)
    assert users.users == ["u8", "u7", "u6", "u5", "u4"]
    assert users.offsets == [(0, 41)] * 5
    assert users.items.tolist() == [100, 101, 102, 103]
    assert (users.affinities.toarray() == affinities[[8, 7, 6, 5, 4]]).all()


def test_no_active_users_wanted_means_none(
    store: Store, keyspace: Keyspace, fill: Fill, stages: Stages
) -> None:
    fill(np.ones((3, 2)))
    assert read_user_items(store, keyspace, PARTITIONS, 0, stages).users == []


def test_a_user_whose_history_is_gone_is_left_out(
    store: Store, keyspace: Keyspace, fill: Fill, stages: Stages
) -> None:
    fill(np.ones((3, 2)))
    store.delete(keyspace.history(user_partition("u1", PARTITIONS), "u1"))
    assert read_user_items(store, keyspace, PARTITIONS, 10, stages).users == ["u2", "u0"]


@pytest.mark.parametrize(
    "fields",
    [
        {"3": '{"r":1,"t":2}'},
        {"3": '{"r":1}', "off": "[0,1]"},
        {"x": '{"r":1,"t":2}', "off": "[0,1]"},
        {"3": '{"r":1,"t":2}', "off": "1"},
    ],
)
def test_a_history_that_is_none_is_named(fields: dict[str, str]) -> None:
    with pytest.raises(CorruptValueError, match="live:history"):
        parse_history("live:history:{i0}:ABC", "ABC", fields)


def test_columns_of_users_are_the_ids_that_any_of_them_has() -> None:
    histories = [
        parse_history("k", "a", {"7": '{"r":2,"t":1}', "3": '{"r":1,"t":1}', "off": "[0,4]"}),
        parse_history("k", "b", {"off": "[1,0]"}),
    ]
    made = user_items_of(histories)
    assert made.items.tolist() == [3, 7]
    assert made.affinities.toarray().tolist() == [[1, 2], [0, 0]]
    assert made.offsets == [(0, 4), (1, 0)]


def test_item_rows_stand_in_the_partition_that_the_contract_names(
    store: Store, keyspace: Keyspace, fill: Fill
) -> None:
    fill(np.ones((1, 1)))
    assert store.exists(keyspace.cooc(instrument_partition(100, PARTITIONS), 100))
