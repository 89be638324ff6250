"""Scores are those of their formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contracts.times import DAY_MS
from tests.oracles.cosine import cosine_similarity
from tests.trainer.models.made import (
    Affinities,
    binary,
    csr,
    fewer,
    gram,
    ranked,
    scores,
    weighted,
)
from trainer.counts.derived import Histories
from trainer.models.cosine import Cosine, CosineConfig
from trainer.models.ordered import Ordered, OrderedConfig
from trainer.models.popular import Popular, PopularConfig, recent_counts


@fewer
@given(affinities=binary() | weighted())
def test_cosine_is_that_of_scikit_learn(affinities: Affinities) -> None:
    expected = cosine_similarity(affinities.T)
    np.fill_diagonal(expected, 0)
    assert np.abs(scores(Cosine(CosineConfig()), gram(affinities)) - expected).max() < 1e-12


@fewer
@given(affinities=binary(), removed=st.integers(0, 9), neighbors=st.integers(1, 9))
def test_removed_are_the_first_of_the_popular_list_and_nothing_else_changes(
    affinities: Affinities, removed: int, neighbors: int
) -> None:
    of = gram(affinities)
    (popular,) = ranked(Popular(PopularConfig(items=removed or 1)), of)
    gone = {item for item, _ in popular[:removed]}
    whole = ranked(Cosine(CosineConfig()), of)
    config = CosineConfig(popular_removed=removed)
    assert ranked(Cosine(config, neighbors), of) == [
        [(j, score) for j, score in of_item if j not in gone][:neighbors] for of_item in whole
    ]


counts = st.integers(1, 8).flatmap(
    lambda n: arrays(np.float64, (n, n), elements=st.sampled_from([0.0, 0.25, 1, 3, 40]))
)


@fewer
@given(
    t=counts,
    dampings=st.sampled_from([(0.0, -0.2), (0.3, 0), (0.9, 0.1), (1, 0.5)]),
    more=st.sampled_from([0, 7]),
)
def test_scores_are_those_of_the_formula(
    t: np.ndarray, dampings: tuple[float, float], more: int
) -> None:
    (alpha, beta), own = dampings, t.diagonal()
    users = np.where(own > 0, own + more, 0)

    def expected(having: np.ndarray, shrinkage: float) -> np.ndarray:
        made = np.zeros_like(t)
        for i, j in zip(*np.nonzero(t), strict=True):
            if i != j and own[i] and own[j]:
                within = min(t[i, j], np.sqrt(own[i] * own[j])) * having.sum() / own.sum()
                norms = having[i] ** alpha * having[j] ** beta
                made[i, j] = within / (norms * having.max() ** (1 - alpha - beta) + shrinkage)
        return made

    named = {"own_damping": alpha, "popularity_damping": beta}
    shrunk = scores(Cosine(CosineConfig(**named, shrinkage=4)), csr(t), users)
    assert shrunk == pytest.approx(expected(users, 4), rel=1e-9, abs=1e-11)
    found = scores(Ordered(OrderedConfig(**named)), csr(t), users)
    assert found == pytest.approx(expected(own, 0), rel=1e-9, abs=1e-11)


def read(affinities: Affinities, days: Affinities) -> Histories:
    """Return histories with the days of their entries."""
    return Histories(csr(affinities), (days[affinities > 0] * DAY_MS).astype(np.int64))


@fewer
@given(affinities=binary() | weighted())
def test_popular_is_the_diagonal(affinities: Affinities) -> None:
    own = gram(affinities).diagonal()
    (found,) = ranked(Popular(PopularConfig(items=100)), gram(affinities))
    assert found == sorted(((int(i), own[i]) for i in np.flatnonzero(own)), key=lambda p: -p[1])


@fewer
@given(affinities=binary() | weighted(), seed=st.integers(0, 9), half_life=st.sampled_from([1, 20]))
def test_a_count_halves_with_each_half_life_before_the_latest_event(
    affinities: Affinities, seed: int, half_life: float
) -> None:
    days = np.random.default_rng(seed).integers(0, 9, affinities.shape)
    made = read(affinities, days)
    latest = days[affinities > 0].max(initial=0)
    expected = (affinities**2 * 2.0 ** ((days - latest) / half_life)).sum(axis=0)
    found = recent_counts(made, made.affinities.data, gram(affinities), half_life).diagonal()
    assert found == pytest.approx(expected)
    undecayed = recent_counts(made, made.affinities.data, gram(affinities), 0).diagonal()
    assert (undecayed == gram(affinities).diagonal()).all()


def test_users_who_were_not_read_count_as_of_the_last_one_who_was() -> None:
    had = np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]])
    days = np.array([[9.0, 5, 0], [0, 7, 0], [0, 0, 3], [0, 2, 1]])
    of_first = read(had[:2], days[:2])
    found = recent_counts(of_first, of_first.affinities.data, gram(had), 1).diagonal()
    assert found.tolist() == [1, 2**-4 + 2**-2 + 2**-2, 2 * 2**-2]


def test_what_nobody_took_for_any_number_of_half_lives_is_still_in_the_list() -> None:
    had, days = np.eye(3)[[0, 0, 1, 2]], np.diag([0.0, 36_500, 36_498])[[0, 0, 1, 2]]
    of_latest = read(had[:3], days[:3])
    found = recent_counts(of_latest, of_latest.affinities.data, gram(had), 0.5)
    (ranking,) = ranked(Popular(PopularConfig()), found)
    assert ranking[0][0] == 1
    assert len(ranking) == 3
