"""RP3-beta against its formula, and against the walk that it stands for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.oracles.gram import gram_matrix
from tests.trainer.models.made import (
    Affinities,
    binary,
    csr,
    fewer,
    gram,
    near,
    ranked,
    scores,
    weighted,
)
from trainer.models.rp3beta import Rp3Beta, Rp3BetaConfig


@fewer
@given(
    affinities=binary() | weighted(),
    alpha=st.sampled_from([0.0, 0.5, 1.0, 1.5]),
    beta=st.sampled_from([0.0, 0.6, 1.0]),
)
def test_the_score_is_the_formula_by_brute_force(
    affinities: Affinities, alpha: float, beta: float
) -> None:
    counts = gram_matrix(affinities)
    own = counts.diagonal()
    expected = np.zeros_like(counts)
    for i, j in np.argwhere(counts > 0):
        if i != j:
            share, damped = (own.max() / own[i]) ** alpha, (own.max() / own[j]) ** beta
            expected[i, j] = counts[i, j] / own.max() * share * damped
    found = scores(Rp3Beta(Rp3BetaConfig(alpha=alpha, beta=beta)), csr(counts))
    assert near(expected, found)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_random_walk_where_all_users_have_equally_many_items(seed: int) -> None:
    random = np.random.default_rng(seed)
    affinities = np.zeros((50, 12))
    for user in affinities:
        user[random.choice(12, 4, replace=False)] = 1
    alpha, beta = 0.7, 0.4
    of_users, of_items = affinities.sum(axis=1), affinities.sum(axis=0)
    to_users = (affinities / of_items).T ** alpha
    to_items = (affinities / of_users[:, np.newaxis]) ** alpha
    walk = to_users @ to_items / of_items**beta
    np.fill_diagonal(walk, 0)
    found = scores(Rp3Beta(Rp3BetaConfig(alpha=alpha, beta=beta)), gram(affinities))
    constant = 4**alpha * of_items.max() ** (beta + alpha - 1)
    assert near(walk * constant, found)


def test_counts_that_have_decayed_forward_for_years_have_lists_too() -> None:
    counts = gram(np.array([[1.0, 1, 0], [0, 1, 1], [1, 1, 1]])) * 2.0**84
    for alpha in (0.5, 1.0, 1.5, 2.0):
        assert all(ranked(Rp3Beta(Rp3BetaConfig(alpha=alpha)), counts))


def test_an_item_without_its_own_count_is_no_neighbor_yet() -> None:
    assert ranked(Rp3Beta(Rp3BetaConfig()), csr([[1, 1], [1, 0]])) == [[], []]


@pytest.mark.parametrize("wrong", [{"alpha": -0.1}, {"alpha": 3}, {"beta": 1.1}])
def test_a_configuration_refuses_what_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Rp3BetaConfig.model_validate(wrong)
