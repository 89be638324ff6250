"""Counts made of histories are those of a plain recomputation, and what is taken out is gone."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from contracts.log_position import LogPosition
from contracts.times import DAY_MS
from tests.oracles.gram import gram_matrix
from trainer.counts.derived import (
    Counting,
    CountsConfig,
    Histories,
    completed,
    counts_of,
    histories_of,
    weighted,
    without,
)
from trainer.counts.matrices import UserItems
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


@pytest.mark.parametrize("order", [None, Order(0.3, 0.5)])
def test_what_nobody_touched_for_any_number_of_half_lives_is_decayed_and_not_missing(
    order: Order | None,
) -> None:
    had = np.repeat(np.eye(4), 2, axis=1)
    ages = np.repeat(np.array([0, 100, 730, 36_500]) * DAY_MS, 2)
    of_users = Histories(csr_array(had), ages.max() - ages)
    config = Counting(CountsConfig(half_life_days=0.27), order)
    found, _ = counts_of(of_users, csr_array(gram_matrix(had)), config)
    own = found.diagonal()[::2]
    assert own[0] == 1
    assert 0 < own[3] <= own[2] <= own[1] < 1e-200
    assert found.nnz == 16  # every pair that someone has is one still


def user_items(affinities: Dense, items: list[int]) -> UserItems:
    """Return users whose scale is 1/2; an entry's time is ten times its affinity."""
    stored = csr_array(affinities / 2)
    return UserItems(
        users=[f"u{u}" for u in range(len(affinities))],
        offsets=[LogPosition(0, u) for u in range(len(affinities))],
        items=np.array(items, np.int64),
        affinities=stored,
        unscaled=stored.data * 2,
        ts_ms=(stored.data * 20).astype(np.int64),
        first_ms=(stored.data * 10).astype(np.int64),
    )


@given(
    affinities=arrays(np.float64, (4, 5), elements=st.integers(0, 3)),
    known=st.sets(st.sampled_from([3, 10, 11, 500, 7_000, 1, 9_999])),
)
def test_histories_have_a_column_for_each_counted_item_and_no_other(
    affinities: Dense, known: set[int]
) -> None:
    of_users = [3, 10, 11, 500, 7_000]
    items = np.array(sorted(known), np.int64)
    found, stored = histories_of(user_items(affinities, of_users), items)
    expected = np.zeros((4, len(items)))
    for column, item in enumerate(items.tolist()):
        if item in of_users:
            expected[:, column] = affinities[:, of_users.index(item)]
    assert (found.affinities.toarray() == expected).all()
    assert found.affinities.shape == expected.shape
    assert found.ts_ms.tolist() == (found.affinities.data * 10).tolist()
    assert found.since_ms.tolist() == (found.affinities.data * 5).astype(np.int64).tolist()
    assert stored.tolist() == (found.affinities.data / 2).tolist()
