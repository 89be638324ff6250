"""Of histories as they stand in Redis, what users did last is held out, and nothing of it left."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from contracts.fold_in import FoldIn
from contracts.messages import Floats, Ints
from contracts.times import DAY_MS
from tests.oracles.gram import gram_matrix
from trainer.counts.derived import Histories
from trainer.generations.report import Found, Tried
from trainer.judging.holdout import COMING_BACK, HELD_OUT, LEAST_ITEMS, Holdout, folded_in, hold_out
from trainer.judging.intervals import not_chosen_on
from trainer.run.selecting import optimism, without_optimism

N_ITEMS = 10


def random_histories(
    seed: int, users: int = 12, *, come_back: bool = True
) -> tuple[Histories, Floats]:
    """Return histories of 0 to 10 items, and their affinities with users' scales.

    Times are few and of all users, or those of each user are hours of a day of its own. Some items
    were touched again later.
    """
    random = np.random.default_rng(seed)
    had = random.random((users, N_ITEMS)) < random.random((users, 1))
    affinities = csr_array(np.where(had, random.choice([1.0, 0.5, 3.25], had.shape), 0))
    scales = np.repeat(random.choice([1.0, 0.25], users), np.diff(affinities.indptr))
    ts_ms = random.integers(0, 5, affinities.nnz) * DAY_MS
    if not come_back:
        days = np.repeat(np.arange(users), np.diff(affinities.indptr))
        ts_ms = days * DAY_MS + ts_ms // 24
    again_ms = random.choice([0, 1, DAY_MS, 9 * DAY_MS], affinities.nnz)
    return Histories(affinities, ts_ms + again_ms, ts_ms), affinities.data * scales


def of_user(histories: Histories, user: int) -> list[tuple[int, int, float]]:
    """Return the time of the first event, item and affinity of what a user has."""
    return timed(histories, histories.since_ms, user)


def timed(histories: Histories, times: Ints, user: int) -> list[tuple[int, int, float]]:
    found = histories.affinities
    entries = range(found.indptr[user], found.indptr[user + 1])
    return [(int(times[e]), int(found.indices[e]), float(found.data[e])) for e in entries]


def as_stored(histories: Histories, stored: Floats) -> np.ndarray:
    found = histories.affinities
    return csr_array((stored, found.indices, found.indptr), found.shape).toarray()


def held_out(histories: Histories, stored: Floats, users_most: int, draw: int = 0) -> Holdout:
    counts = csr_array(gram_matrix(as_stored(histories, stored)))
    return hold_out(histories, stored, counts, users_most, draw)


@given(
    seed=st.integers(0, 999),
    users_most=st.integers(1, 14),
    draw=st.integers(0, 3),
    regularity=st.sampled_from(["come back", "come and go"]),
)
def test_nothing_of_what_is_held_out_is_left_in_histories_or_counts(
    seed: int, users_most: int, draw: int, regularity: str
) -> None:
    histories, stored = random_histories(seed, come_back=regularity == "come back")
    whole, made = as_stored(histories, stored), held_out(histories, stored, users_most, draw)
    test, rest = made.test.toarray() > 0, made.histories.affinities.toarray()
    had = histories.affinities.toarray()
    assert not (test & (rest > 0)).any()
    assert (had[test] > 0).all()
    assert (rest == np.where(rest > 0, had, 0)).all()
    left = np.where(rest > 0, whole, 0)
    assert (as_stored(made.histories, made.stored) == left).all()
    # Numbers of few binary digits add up exactly.
    assert (made.streamed.toarray() == gram_matrix(left)).all()
    assert made.streamed.nnz == np.count_nonzero(gram_matrix(left))


@given(seed=st.integers(0, 999), users_most=st.integers(1, 14))
def test_of_users_who_come_back_what_all_did_after_a_moment_is_held_out(
    seed: int, users_most: int
) -> None:
    histories, stored = random_histories(seed)
    made = held_out(histories, stored, users_most)
    assume(histories.affinities.nnz)
    moment = np.sort(histories.since_ms)[int((histories.affinities.nnz - 1) * (1 - HELD_OUT))]
    users = range(len(histories.degrees))
    before, after = (
        [
            {item for ts, item, _ in of_user(histories, user) if (ts <= moment) == is_before}
            for user in users
        ]
        for is_before in (True, False)
    )
    both = [user for user in users if before[user] and after[user]]
    able = np.flatnonzero(histories.degrees >= LEAST_ITEMS)
    assume(len(both) >= COMING_BACK * max(len(able), 1))
    assert sum(map(len, after)) <= HELD_OUT * histories.affinities.nnz + 1
    assert len(made.judged) == min(users_most, len(both))
    for user in users:
        assert {item for _, item, _ in of_user(made.histories, user)} == before[user]
        asked_for = set(np.flatnonzero(made.test.toarray()[user]).tolist())
        assert asked_for == (after[user] if user in made.judged else set())
        last = timed(histories, histories.ts_ms, user)
        again = {item for ts_ms, item, _ in last if ts_ms > moment} & before[user]
        assert {*np.flatnonzero(made.again.toarray()[user])} == (again if asked_for else set())
        assert user in both or user not in made.judged


@given(seed=st.integers(0, 999), users_most=st.integers(1, 14))
def test_where_users_come_and_go_it_is_the_latest_quarter_and_what_came_with_it(
    seed: int, users_most: int
) -> None:
    histories, stored = random_histories(seed, users=30, come_back=False)
    made = held_out(histories, stored, users_most)
    enough = np.flatnonzero(histories.degrees >= LEAST_ITEMS).tolist()
    expected = {}
    for user in enough:
        had = sorted(of_user(histories, user), key=lambda entry: (-entry[0], entry[1]))
        since = had[round(len(had) / 4) - 1][0]
        expected[user] = sorted(item for first, item, _ in had if first >= since)
    able = {user for user in enough if len(expected[user]) < histories.degrees[user]}
    assume(len(able) >= COMING_BACK * len(enough))
    assert len(made.judged) == min(users_most, len(able))
    assert set(made.judged.tolist()) <= able
    assert made.histories.affinities.nnz + made.test.nnz == histories.affinities.nnz
    for user in made.judged.tolist():
        assert np.flatnonzero(made.test.toarray()[user]).tolist() == expected[user]
        until_ms = max(
            first for first, item, _ in of_user(histories, user) if item not in expected[user]
        )
        last = timed(histories, histories.ts_ms, user)
        again = [item for ts_ms, item, _ in last if ts_ms > until_ms and item not in expected[user]]
        assert np.flatnonzero(made.again.toarray()[user]).tolist() == again


@given(
    seed=st.integers(0, 999),
    items=st.integers(1, 12),
    half_life_days=st.sampled_from([0, 0.5, 3]),
    half_life_items=st.sampled_from([0, 0.1, 2]),
    random=st.randoms(),
)
def test_what_is_folded_in_is_what_the_contract_says_of_each_user(
    seed: int,
    items: int,
    half_life_days: float,
    half_life_items: float,
    random: np.random.RandomState,
) -> None:
    histories, _ = random_histories(seed)
    users = list(range(12))
    random.shuffle(users)
    users = users[:7]
    fold_in = FoldIn(items, half_life_days, half_life_items)
    found = folded_in(histories, np.array(users), fold_in)
    expected = np.zeros((len(users), N_ITEMS))
    for row, user in enumerate(users):
        had = sorted(
            timed(histories, histories.ts_ms, user), key=lambda entry: (-entry[0], entry[1])
        )
        latest = had[0][0] if had else 0
        for position, (ts_ms, item, affinity) in enumerate(had[: fold_in.items_most]):
            age = np.array([latest - ts_ms])
            weights = fold_in.weights(np.array([affinity]), age, np.array([position]))
            expected[row, item] = weights[0]
    assert found.toarray() == pytest.approx(expected, rel=1e-12)
    assert found.nnz == np.count_nonzero(expected)


def test_the_best_of_many_equals_is_reported_as_good_as_the_others() -> None:
    random = np.random.default_rng(0)
    leads, reported = [], []
    for _ in range(200):
        candidates = random.normal(0.1, 0.2, (30, 400))
        chosen = int(candidates.mean(axis=1).argmax())
        leads.append(candidates[chosen].mean() - 0.1)
        reported.append(not_chosen_on(candidates).mean() - 0.1)
    assert np.mean(leads) > 0.015
    assert np.mean(reported) == pytest.approx(0, abs=0.002)


def test_what_was_overrated_when_it_was_chosen_is_so_when_it_is_measured_again() -> None:
    tried = Tried({"item_model": "ease"}, 0.25, 0.5, 0.5, 1)
    chosen = Found(tried.values, "", 100, 0.2, 0.15, 0.25, [tried])
    assert optimism(chosen) == pytest.approx(0.05)
    again = without_optimism(
        Found(tried.values, "", 100, 0.3, 0.28, 0.32, [tried]), optimism(chosen)
    )
    assert (again.ndcg, again.low, again.high) == (0.25, 0.23, 0.27)
