"""The Gram matrix, out of Redis."""

from collections.abc import Callable

import numpy as np
import pytest

from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from runtime.redis.stores import Store
from tests.oracles.gram import gram_matrix
from tests.trainer.conftest import PARTITIONS, Fill
from tests.trainer.reading.wired import hashes
from trainer.counts.matrices import Gram
from trainer.reading import gram as module
from trainer.reading import hashes as reading
from trainer.reading.gram import parse_rows, read_gram
from trainer.reading.pipelines import CorruptValueError
from trainer.reading.quarantine import SHOWN
from trainer.stages import Stages


@pytest.fixture
def read(store: Store, keyspace: Keyspace, stages: Stages) -> Callable[[], Gram]:
    return lambda: read_gram(store, keyspace, PARTITIONS, stages)


@pytest.fixture
def key_of(keyspace: Keyspace) -> Callable[[int], str]:
    return lambda item: keyspace.cooc(instrument_partition(item, PARTITIONS), item)


@pytest.mark.parametrize("ids_an_item", [16, 0])
@pytest.mark.parametrize("long_row", [5_000, 2])
def test_the_gram_matrix_is_read_to_the_last_digit(
    read: Callable[[], Gram],
    fill: Fill,
    long_row: int,
    ids_an_item: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "LONG_ROW", long_row)  # rows above it are read bit by bit
    monkeypatch.setattr(reading, "FIELDS_PER_BLOCK", 60)
    monkeypatch.setattr(module, "_IDS_AN_ITEM", ids_an_item)  # places from a table, or by search
    random = np.random.default_rng(0)
    affinities = fill(random.random((30, 20)) * (random.random((30, 20)) < 0.2))
    gram = read()
    had = np.flatnonzero(affinities.any(axis=0))
    assert gram.items.tolist() == (100 + had).tolist()
    assert (gram.counts.toarray() == gram_matrix(affinities)[np.ix_(had, had)]).all()
    assert gram.counts.has_canonical_format
    assert gram.n_corrupt == 0


def test_rows_of_whole_numbers_are_read_as_well_as_rows_of_others(
    read: Callable[[], Gram], store: Store, keyspace: Keyspace, key_of: Callable[[int], str]
) -> None:
    for item, row in ((0, {"0": "3", "7": "2"}), (7, {"7": "1e300", "0": "0.1"})):
        store.hset(key_of(item), mapping=row | {"off": "[0,9]"})
        store.sadd(keyspace.items(instrument_partition(item, PARTITIONS)), item)
    assert read().counts.toarray().tolist() == [[3, 2], [0.1, 1e300]]


def test_a_row_longer_than_one_answer_is_read_whole(
    read: Callable[[], Gram], store: Store, keyspace: Keyspace, key_of: Callable[[int], str]
) -> None:
    items = np.arange(7_000)
    pipeline = store.pipeline(transaction=False)
    for item in items.tolist():
        pipeline.sadd(keyspace.items(instrument_partition(item, PARTITIONS)), item)
        pipeline.hset(key_of(item), mapping={"off": "[0,9]", str(item): item + 0.5})
    pipeline.hset(key_of(5), mapping={str(item): item + 0.5 for item in items.tolist()})
    pipeline.execute()
    counts = read().counts.tocoo()
    of_long = counts.row == 5
    assert (counts.col[of_long] == items).all()
    assert (counts.data == counts.col + 0.5).all()
    assert counts.nnz == 2 * len(items) - 1


def test_nothing_in_redis_is_an_empty_matrix(read: Callable[[], Gram]) -> None:
    assert read().counts.shape == (0, 0)


def test_an_item_whose_row_is_gone_has_no_counts(
    read: Callable[[], Gram], store: Store, fill: Fill, key_of: Callable[[int], str]
) -> None:
    fill(np.eye(3))
    store.delete(key_of(101))
    assert read().counts.toarray().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_counts_below_zero_are_left_out_and_summed_up(
    read: Callable[[], Gram], store: Store, fill: Fill, key_of: Callable[[int], str]
) -> None:
    fill(np.eye(2))
    store.hset(key_of(100), mapping={"101": "-0.25", "100": "-2"})
    gram = read()
    assert gram.counts.toarray().tolist() == [[0, 0], [0, 1]]
    assert gram.below_zero == 2.25


@pytest.mark.parametrize("far", [9, 2**63 - 1])
def test_a_pair_is_left_out_while_the_other_items_row_is_missing(far: int) -> None:
    parts = hashes(
        {"3": "2", "7": "1", str(far): "1", "0": "1", str(2**62): "1", "10": "1"}, {str(far): "1"}
    )
    rows = parse_rows(np.array([3, far]), parts, range(2))
    assert rows.columns.tolist() == [0, 1, 1]
    assert rows.data.tolist() == [2, 1, 1]
    assert rows.lengths.tolist() == [2, 1]


def test_the_later_one_counts_of_a_count_that_came_twice() -> None:
    twice = [hashes({"3": "2"})[0], hashes({"3": "5", "9": "1"})[0]]
    assert parse_rows(np.array([3, 9]), twice, range(1)).data.tolist() == [5, 1]


BAD = [
    ({"102": "two"}, "count 'two' of item '102'"),
    ({"102": "inf"}, "count 'inf' of item '102'"),
    ({"102": "nan"}, "count 'nan' of item '102'"),
    ({"102": ""}, "count '' of item '102'"),
    ({"102": "1\r\n$3\r\n103\r\n$1\r\n2"}, r"count '1\r\n$3\r\n103\r\n$1\r\n2' of item '102'"),
    ({"102": "9" * 400}, "count '99999999999999999999999"),
    ({"x": "2"}, "item 'x'"),
    ({"-2": "2"}, "item '-2'"),
    ({"0102": "2"}, "item '0102'"),
    ({str(2**64): "1"}, "item '18446744073709551616'"),
]


@pytest.mark.parametrize("long_row", [5_000, 2])
@pytest.mark.parametrize(("fields", "problem"), BAD)
def test_an_item_whose_row_is_corrupt_is_named_and_left_out_with_its_column(
    read: Callable[[], Gram],
    store: Store,
    fill: Fill,
    key_of: Callable[[int], str],
    fields: dict[str, str],
    problem: str,
    long_row: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "LONG_ROW", long_row)
    affinities = fill(np.random.default_rng(1).random((9, 5)))
    store.hset(key_of(101), mapping=fields)
    gram = read()
    assert gram.items.tolist() == [100, 102, 103, 104]
    kept = [0, 2, 3, 4]
    assert (gram.counts.toarray() == gram_matrix(affinities)[np.ix_(kept, kept)]).all()
    (shown,) = gram.corrupt
    assert shown.startswith(f"{key_of(101)}: {problem}")
    assert gram.n_corrupt == 1


def test_bytes_that_are_no_text_are_corrupt_too(
    read: Callable[[], Gram], store: Store, fill: Fill, key_of: Callable[[int], str]
) -> None:
    fill(np.ones((1, 3)))
    store.hset(key_of(101), "102", b"\xff\xfe")
    assert read().items.tolist() == [100, 102]


def test_a_key_of_another_type_is_corrupt(
    read: Callable[[], Gram], store: Store, fill: Fill, key_of: Callable[[int], str]
) -> None:
    fill(np.ones((1, 3)))
    store.delete(key_of(101))
    store.set(key_of(101), "1")
    gram = read()
    assert gram.items.tolist() == [100, 102]
    assert gram.counts.toarray().tolist() == [[1, 1], [1, 1]]
    (shown,) = gram.corrupt
    assert shown.startswith(f"{key_of(101)}: WRONGTYPE")


@pytest.mark.parametrize("member", ["x", "-1", "07", "9" * 20, "9" * 5_000, "٣"])
def test_a_member_of_the_index_that_is_no_item_is_named_and_left_out(
    read: Callable[[], Gram], store: Store, keyspace: Keyspace, fill: Fill, member: str
) -> None:
    fill(np.ones((1, 3)))
    store.sadd(keyspace.items(1), member)
    gram = read()
    assert gram.items.tolist() == [100, 101, 102]
    assert gram.corrupt[0].startswith(f"{keyspace.items(1)}: member '{member[:9]}")
    assert gram.n_corrupt == 1


def test_an_index_of_another_type_ends_the_run(
    read: Callable[[], Gram], store: Store, keyspace: Keyspace
) -> None:
    store.set(keyspace.items(1), "x")
    with pytest.raises(CorruptValueError, match=r"WRONGTYPE .* Repair or delete that key"):
        read()


@pytest.mark.parametrize(("bad", "items"), [(SHOWN, 12), (12, 1_200)])
def test_a_few_corrupt_rows_are_left_out(
    read: Callable[[], Gram], store: Store, fill: Fill, key_of: Callable[[int], str], bad: int,
    items: int,
) -> None:  # fmt: skip
    fill(np.eye(items))
    for item in range(bad):
        store.hset(key_of(100 + item), "100", "x")
    gram = read()
    assert len(gram.items) == items - bad
    assert gram.n_corrupt == bad
    assert len(gram.corrupt) == SHOWN


@pytest.mark.parametrize(("bad", "items"), [(SHOWN + 1, 12), (13, 1_200)])
def test_too_many_corrupt_rows_end_the_run(
    read: Callable[[], Gram], store: Store, fill: Fill, key_of: Callable[[int], str], bad: int,
    items: int,
) -> None:  # fmt: skip
    fill(np.eye(items))
    for item in range(bad):
        store.hset(key_of(100 + item), "100", "x")
    with pytest.raises(CorruptValueError, match=rf"cooc.* {bad - 1} more of {items:,} keys"):
        read()


def test_item_rows_stand_in_the_partition_that_the_contract_names(
    store: Store, fill: Fill, key_of: Callable[[int], str]
) -> None:
    fill(np.ones((1, 1)))
    assert store.exists(key_of(100))
