"""The Gram matrix, out of Redis."""

import numpy as np
import pytest

from tests.oracles.gram import gram_matrix
from tests.trainer.reading.wired import hashes
from tests.trainer.setup import Setup
from trainer.reading import gram as module
from trainer.reading import hashes as reading
from trainer.reading.gram import parse_rows
from trainer.reading.pipelines import SHOWN, CorruptValueError


@pytest.mark.parametrize("ids_an_item", [16, 0])
def test_the_gram_matrix_is_read_to_the_last_digit(
    setup: Setup, long_row: int, ids_an_item: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "FIELDS_PER_BLOCK", 60)
    monkeypatch.setattr(module, "_IDS_AN_ITEM", ids_an_item)  # places from a table, or by search
    random = np.random.default_rng(0)
    affinities = setup.fill(random.random((30, 20)) * (random.random((30, 20)) < 0.2))
    gram = setup.gram()
    had = np.flatnonzero(affinities.any(axis=0))
    assert gram.items.tolist() == (100 + had).tolist()
    assert (gram.counts.toarray() == gram_matrix(affinities)[np.ix_(had, had)]).all()
    assert gram.counts.has_canonical_format
    assert gram.counts.indices.dtype == np.int32
    assert gram.n_corrupt == 0


def test_a_row_longer_than_one_answer_is_read_whole(setup: Setup) -> None:
    items = [*range(0, 14_000, 2)]  # all even: the row of the least has its pairs with all others
    pipeline = setup.store.pipeline(transaction=False)
    for item in items:
        pipeline.sadd(setup.items_key(item), item)
        pipeline.hset(setup.row_key(item), mapping={"off": "[0,9]", str(item): item + 0.5})
    pipeline.hset(setup.row_key(0), mapping={str(item): item + 0.5 for item in items})
    pipeline.execute()
    found = setup.gram().counts
    assert found[[0]].toarray().tolist() == [[item + 0.5 for item in items]]
    assert (found != found.T).nnz == 0  # type: ignore[attr-defined]
    assert found.diagonal().tolist() == [item + 0.5 for item in items]
    assert found.nnz == 3 * len(items) - 2


def test_counts_below_zero_are_left_out_and_summed_up(setup: Setup) -> None:
    setup.fill(np.eye(2))
    setup.store.hset(setup.row_key(101), "100", "-0.25")
    setup.store.hset(setup.row_key(100), "100", "-2")
    gram = setup.gram()
    assert gram.counts.toarray().tolist() == [[0, 0], [0, 1]]
    assert gram.below_zero == 2.25


@pytest.mark.parametrize("far", [9, 2**63 - 1])
def test_a_pair_is_left_out_while_the_other_items_row_is_missing(far: int) -> None:
    parts = hashes(
        {"3": "2", "7": "1", str(far): "1", "0": "1", str(2**62 + 1): "1"}, {str(far): "1"}
    )
    rows = parse_rows(np.array([3, far]), parts, range(2))
    assert rows.columns.tolist() == [0, 1, 1]
    assert rows.data.tolist() == [2, 1, 1]
    assert rows.lengths.tolist() == [2, 1]


BAD = [
    ({"103": "two"}, "count 'two' of item '103'"),
    ({"103": "inf"}, "count 'inf' of item '103'"),
    ({"103": "nan"}, "count 'nan' of item '103'"),
    ({"103": ""}, "count '' of item '103'"),
    ({"103": "1\r\n$3\r\n103\r\n$1\r\n2"}, r"count '1\r\n$3\r\n103\r\n$1\r\n2' of item '103'"),
    ({"103": "9" * 400}, "count '99999999999999999999999"),
    ({"103": b"\xff\xfe"}, "count "),
    ({"x": "2"}, "item 'x'"),
    ({"-2": "2"}, "item '-2'"),
    ({"0102": "2"}, "item '0102'"),
    ({str(2**64): "1"}, "item '18446744073709551616'"),
    ({"102": "1"}, "count '1' of item '102', which belongs in row '102'"),
]


@pytest.mark.parametrize(("fields", "problem"), BAD)
def test_an_item_whose_row_is_corrupt_is_named_and_left_out_with_its_column(
    setup: Setup, fields: dict[str, str | bytes], problem: str, long_row: int
) -> None:
    affinities = setup.fill(np.random.default_rng(1).random((9, 5)))
    setup.store.hset(setup.row_key(101), mapping=fields)
    gram = setup.gram()
    assert gram.items.tolist() == [100, 102, 103, 104]
    kept = [0, 2, 3, 4]
    assert (gram.counts.toarray() == gram_matrix(affinities)[np.ix_(kept, kept)]).all()
    (shown,) = gram.corrupt
    assert shown.startswith(f"{setup.row_key(101)}: {problem}")
    assert gram.n_corrupt == 1


@pytest.mark.parametrize("member", ["x", "-1", "07", "9" * 20, "9" * 5_000, "٣"])
def test_an_indexs_member_that_is_no_item_is_named_and_left_out(setup: Setup, member: str) -> None:
    setup.fill(np.ones((1, 3)))
    setup.store.sadd(setup.keys.items(1), member)
    gram = setup.gram()
    assert gram.items.tolist() == [100, 101, 102]
    assert gram.corrupt[0].startswith(f"{setup.keys.items(1)}: member '{member[:9]}")
    assert gram.n_corrupt == 1


@pytest.mark.parametrize(("most", "items"), [(SHOWN, 12), (12, 1_200)])
def test_a_few_corrupt_rows_are_left_out_and_too_many_end_the_run(
    setup: Setup, most: int, items: int
) -> None:
    setup.fill(np.eye(items))
    for item in range(most):
        setup.store.hset(setup.row_key(100 + item), "100", "x")
    gram = setup.gram()
    assert len(gram.items) == items - most
    assert gram.n_corrupt == most
    assert len(gram.corrupt) == SHOWN
    setup.store.hset(setup.row_key(100 + most), "100", "x")
    with pytest.raises(CorruptValueError, match=rf"cooc.* {most} more of {items:,} keys"):
        setup.gram()
