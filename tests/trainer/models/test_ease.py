"""EASE against its closed form, and by neighborhoods."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.cosine import cosine_similarity
from tests.oracles.gram import gram_matrix
from tests.trainer.models.made import Affinities, csr, fewer, gram, near, ranked, scores
from trainer.models import ease
from trainer.models import ease as inverses
from trainer.models.ease import Ease, EaseConfig

SEEDS = range(3)

exponents = st.sampled_from([0.0, 0.2, 0.4, 1.0])


def purchases(seed: int, items: int = 12) -> Affinities:
    """Return (60, items) with kinds of users, and each two items had together by someone.

    The first items are the more popular ones.
    """
    random = np.random.default_rng(seed)
    liked = random.integers(0, 3, 60)[:, np.newaxis] == np.arange(items) % 3
    popular = np.linspace(1, 0.6, items)
    made = (random.random((60, items)) < np.where(liked, 0.9, 0.4) * popular) * 1.0
    assert (gram_matrix(made) > 0).all()
    return made


def closed_form(counts: Affinities, ridge: float) -> npt.NDArray[np.float64]:
    """Return B = I - P diag(P)^-1."""
    inverse = np.linalg.inv(counts + ridge * np.eye(len(counts)))
    return np.eye(len(counts)) - inverse / inverse.diagonal()


@fewer
@given(
    seed=st.integers(0, 99),
    alpha=exponents,
    beta=exponents,
    regularization=st.sampled_from([0.1, 8, 300]),
)
def test_normalised_lists_are_the_closed_form_of_the_normalised_counts_shifted(
    seed: int, alpha: float, beta: float, regularization: float
) -> None:
    counts = gram_matrix(purchases(seed))
    own = counts.diagonal() / counts.diagonal().max()
    normalised = counts / counts.diagonal().max() / np.outer(own, own) ** ((alpha + beta) / 2)
    weights = closed_form(normalised, regularization * normalised.diagonal().mean())
    shifted = weights * (own / own[:, np.newaxis]) ** ((alpha - beta) / 2)
    config = EaseConfig(regularization=regularization, own_damping=alpha, popularity_damping=beta)
    assert near(shifted, scores(Ease(config), csr(counts)))


@pytest.mark.parametrize("seed", SEEDS)
def test_of_many_items_a_list_is_the_closed_form_on_the_items_nearest_by_cosine(seed: int) -> None:
    affinities = purchases(seed)
    counts, size = gram_matrix(affinities), 5
    cosine = np.round(cosine_similarity(affinities.T), 12)
    np.fill_diagonal(cosine, 0)
    expected = np.zeros_like(counts)
    for i in range(12):
        nearest = np.lexsort((np.arange(12), -counts[i], -cosine[i]))[:size]
        around = [i, *nearest]
        weights = closed_form(counts[np.ix_(around, around)], 2 * counts.diagonal().mean())
        expected[i, nearest] = weights[0, 1:]
    model = Ease(EaseConfig(regularization=2), exact_items=11, neighborhood=size)
    assert near(expected, scores(model, csr(counts)))


@pytest.mark.parametrize("items", [2, 7, 8, 15, 60, 131])
def test_the_inverse_of_more_items_than_are_inverted_at_once_is_whole(
    items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverses, "_BLOCK", 7)
    affinities = (np.random.default_rng(items).random((80, items)) < 0.2) * 1.0
    counts = gram_matrix(affinities)
    weights = closed_form(counts, 8 * counts.diagonal()[counts.diagonal() > 0].mean())
    assert near(weights, scores(Ease(EaseConfig(), items), csr(counts)))


@pytest.mark.parametrize("exact_items", [0, 9])
def test_rows_of_different_ages_still_make_lists(exact_items: int) -> None:
    # Nobody's counts are these: there is no R for them, and one eigenvalue is below zero.
    counts = np.array([[5.0, 9, 2], [9, 5, 1], [2, 1, 5]])
    found = scores(Ease(EaseConfig(regularization=0.1), exact_items=exact_items), csr(counts))
    assert near(closed_form(counts, 0.1 * 5), found)


def test_lists_are_the_same_however_few_items_are_ranked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = gram(purchases(0))
    at_once = ranked(Ease(EaseConfig()), counts)
    monkeypatch.setattr(ease, "_CELLS", 5 * counts.shape[1])
    assert ranked(Ease(EaseConfig()), counts) == at_once
