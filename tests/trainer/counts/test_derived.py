"""Counts of histories, ordered or not, are those of a plain recomputation."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from contracts.times import DAY_MS
from tests.examples import examples
from tests.oracles.gram import gram_matrix
from trainer.counts import matrices as module
from trainer.counts import order as ordering
from trainer.counts.derived import (
    Counting,
    CountsConfig,
    Histories,
    completed,
    counts_of,
    weighted,
    without,
)
from trainer.counts.matrices import in_order
from trainer.counts.order import Order, ordered

Dense = npt.NDArray[np.float64]

shapes = st.tuples(st.integers(1, 8), st.integers(1, 6))
weighed = arrays(np.float64, shapes, elements=st.sampled_from([0.0, 1.0, 5.0, 0.3, 11.7]))


def histories(affinities: Dense, ts_ms: Dense) -> Histories:
    """Return what users have, and the times where they have something."""
    times = ts_ms[affinities > 0].astype(np.int64)
    return Histories(csr_array(affinities), times, times // 2)


@given(
    affinities=weighed,
    exponent=st.sampled_from([0, 0.25, 0.5, 1]),
    half_life_days=st.sampled_from([0, 0.1, 30, 36_500]),
    seed=st.integers(0, 99),
)
def test_counts_of_histories_are_those_of_a_plain_recomputation(
    affinities: Dense, exponent: float, half_life_days: float, seed: int
) -> None:
    ts_ms = np.random.default_rng(seed).integers(0, 400, affinities.shape) * (DAY_MS / 4)
    had = affinities > 0
    scaled = affinities.copy()
    for u in range(len(affinities)):
        if had[u].any():
            scaled[u] *= float(had[u].sum()) ** -exponent
    if half_life_days and had.any():
        ages = (ts_ms[had].max() - ts_ms) / DAY_MS
        scaled = np.where(had, scaled * 0.5 ** (ages / half_life_days), 0)
    config = CountsConfig(user_weight_exponent=exponent, half_life_days=half_life_days)
    of_users, nothing = histories(affinities, ts_ms), csr_array(gram_matrix(affinities * 0))
    found = weighted(of_users, config)
    assert found.toarray() == pytest.approx(scaled, rel=1e-12)
    assert found.indices.tolist() == of_users.affinities.indices.tolist()
    if exponent or half_life_days:
        gram, users = counts_of(of_users, nothing, Counting(config))
        alike = scaled * had.sum(axis=1, keepdims=True) ** exponent
        assert users == pytest.approx((alike**2).sum(axis=0))
        assert gram.toarray() == pytest.approx(gram_matrix(scaled), rel=1e-12)
        assert gram.has_sorted_indices
    order = Order(0.3, 0.5)
    in_order, _ = counts_of(of_users, nothing, Counting(config, order))
    assert in_order.toarray() == pytest.approx(
        ordered(csr_array(scaled), of_users.ts_ms, order).toarray(), rel=1e-12
    )


@given(before=weighed, seed=st.integers(0, 99), data=st.data())
def test_subtracting_from_decayed_counts_leaves_only_noise_and_no_entries(
    before: Dense, seed: int, data: st.DataObject
) -> None:
    # Years after the decay started, in another unit and of all sizes.
    half_lives = np.random.default_rng(seed).uniform(0, 10, before.shape)
    before = before * 2.0 ** (42 + half_lives)
    after = before * data.draw(arrays(np.float64, before.shape, elements=st.sampled_from([0.0, 1])))
    found = without(csr_array(gram_matrix(before)), csr_array(before), csr_array(after))
    expected, whole = gram_matrix(after), gram_matrix(before)
    assert np.abs(found.toarray() - expected).max() <= 1e-9 * whole.max()
    assert (np.abs(found.toarray() - expected) <= 1e-9 * whole).all()
    # What is no count any more is no entry, either; a count that is left may be as small as noise.
    assert not (found.toarray()[expected == 0] > 0).any()


def test_events_folded_after_counts_were_read_are_not_subtracted() -> None:
    before = np.array([[1.0, 1, 1]])
    read = csr_array(np.array([[3.0, 1, 0], [1, 2, 0], [0, 0, 0]]))
    found = without(read, csr_array(before), csr_array(np.array([[1.0, 0, 0]])))
    assert found.toarray().tolist() == [[3, 0, 0], [0, 1, 0], [0, 0, 0]]


@given(streamed=weighed, data=st.data())
def test_items_that_no_history_has_are_completed_with_what_the_workers_count(
    streamed: Dense, data: st.DataObject
) -> None:
    kept = data.draw(arrays(np.bool_, len(streamed)))
    derived = streamed[kept]
    whole, own = gram_matrix(streamed), gram_matrix(derived) * 0.25
    is_held = (derived > 0).any(axis=0)
    missing = ~is_held & (whole.diagonal() > 0)
    both = (own.diagonal() > 0) & (whole.diagonal() > 0)
    scale = own.diagonal()[both].sum() / whole.diagonal()[both].sum() if both.any() else 1
    expected = own + np.where(missing | missing[:, np.newaxis], whole * scale, 0)
    found = completed(csr_array(own), csr_array(whole), is_held)
    assert found.toarray() == pytest.approx(expected)
    assert (found.diagonal() > 0).tolist() == (whole.diagonal() > 0).tolist()
    assert found.has_sorted_indices


any_shapes = st.tuples(st.integers(0, 6), st.integers(1, 7))
affinities_of = arrays(np.float64, any_shapes, elements=st.sampled_from([0.0, 1.0, 5.0, 0.3]))
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
