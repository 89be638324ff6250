"""Ordered counts are those of a plain recomputation, and matrices are made without copies."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from tests.examples import examples
from trainer.counts import matrices as module
from trainer.counts import order as ordering
from trainer.counts.matrices import csr, in_order
from trainer.counts.order import Order, ordered

Dense = npt.NDArray[np.float64]

shapes = st.tuples(st.integers(0, 6), st.integers(1, 7))
affinities_of = arrays(np.float64, shapes, elements=st.sampled_from([0.0, 1.0, 5.0, 0.3]))
orders = st.builds(Order, st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.5, 1.0]))


def plain(affinities: Dense, ts_ms: Dense, order: Order, lags: int) -> Dense:
    n_items = affinities.shape[1]
    counts = np.zeros((n_items, n_items))
    for r, times in zip(affinities, ts_ms, strict=True):
        history = sorted(np.flatnonzero(r).tolist(), key=lambda item: (times[item], -item))
        for place, i in enumerate(history):
            counts[i, i] += r[i] ** 2
            for lag, j in enumerate(history[place + 1 : place + 1 + lags], start=1):
                count = r[i] * r[j] * lag**-order.lag_exponent
                there, back = 1.0, order.backwards
                if times[i] == times[j]:
                    there = back = (there + back) / 2
                counts[i, j] += there * count
                counts[j, i] += back * count
    return counts


@examples(200)
@given(
    affinities=affinities_of,
    order=orders,
    moments=st.integers(1, 9),
    lags=st.sampled_from([1, 3, 60]),
    at_once=st.sampled_from([1, 7, 1 << 22]),
    in_order=st.sampled_from([1, 9, 1 << 23]),
    seed=st.integers(0, 99),
)
def test_ordered_counts_are_those_of_a_plain_recomputation_however_they_are_cut(
    affinities: Dense, order: Order, moments: int, lags: int, at_once: int, in_order: int, seed: int
) -> None:
    ts_ms = np.random.default_rng(seed).integers(0, moments, affinities.shape).astype(np.float64)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ordering, "LAGS", lags)
        patched.setattr(ordering, "PAIRS_PER_BLOCK", at_once)
        patched.setattr(ordering, "ENTRIES_PER_PIECE", in_order, raising=False)
        found = ordered(csr_array(affinities), ts_ms[affinities > 0].astype(np.int64), order)
    assert found.toarray() == pytest.approx(plain(affinities, ts_ms, order, lags), rel=1e-12)
    assert found.has_canonical_format
    assert (found.data > 0).all()


CELLS = st.lists(st.tuples(st.integers(0, 9), st.one_of(st.integers(0, 5), st.just(2**31 - 1))))


def test_rows_of_more_entries_than_32_bits_count_begin_where_they_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No such matrix fits into a test: its parts are views of one number, and are looked at.
    monkeypatch.setattr(module, "csr_array", lambda parts, shape: (parts, shape))
    n_rows, length = 50_000, 44_000
    data = np.broadcast_to(np.ones(1), (n_rows * length,))
    columns = np.broadcast_to(np.zeros(1, np.int32), data.shape)
    made: Any = csr(data, columns, np.full(n_rows, length), n_rows)
    (_, _, indptr), _ = made
    assert indptr[[0, 1, -1]].tolist() == [0, length, n_rows * length]


@pytest.mark.parametrize("bits", [64, 0])
@given(CELLS)
def test_the_order_is_that_of_rows_and_columns_and_the_last_of_equals_stays(
    bits: int, cells: list[tuple[int, int]]
) -> None:
    rows, columns = np.array(cells, np.int64).reshape(-1, 2).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BITS", bits)  # one number for all three, or two keys
        order = in_order(rows, columns).tolist()
    last = {cell: place for place, cell in enumerate(cells)}
    assert order == [last[cell] for cell in sorted(last)]
