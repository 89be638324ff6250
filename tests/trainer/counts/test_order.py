"""Ordered counts are those of a plain recomputation, pair by pair."""

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from tests.examples import examples
from trainer.counts import order as ordering
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


def test_memory_does_not_grow_with_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "PAIRS_PER_BLOCK", 1_000)
    monkeypatch.setattr(ordering, "ENTRIES_PER_PIECE", 1_000, raising=False)
    had = csr_array(np.ones((1_000, 20)))
    ts_ms = np.arange(had.nnz)
    tracemalloc.start()
    ordered(had, ts_ms, Order(0.3, 0.5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * had.nnz
