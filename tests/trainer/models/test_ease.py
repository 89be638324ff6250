"""EASE against its closed form, against the regression that it solves, and by neighborhoods."""

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import cosine_similarity
from threadpoolctl import threadpool_info, threadpool_limits

from tests.trainer.models.made import Affinities, csr, gram, near, ranked, scores
from trainer.models.ease import Ease, EaseConfig

SEEDS = range(3)


def purchases(seed: int) -> Affinities:
    """Return (60, 12) with kinds of users, and each two items had together by someone."""
    random = np.random.default_rng(seed)
    liked = random.integers(0, 3, 60)[:, np.newaxis] == np.arange(12) % 3
    made = (random.random((60, 12)) < np.where(liked, 0.8, 0.3)) * 1.0
    assert (made.T @ made > 0).all()
    return made


def closed_form(counts: Affinities, ridge: float) -> npt.NDArray[np.float64]:
    """Return B = I - P diag(P)^-1."""
    inverse = np.linalg.inv(counts + ridge * np.eye(len(counts)))
    return np.eye(len(counts)) - inverse / inverse.diagonal()


@pytest.mark.parametrize("seed", SEEDS)
def test_lists_are_what_is_positive_in_the_closed_form(seed: int) -> None:
    counts = purchases(seed).T @ purchases(seed)
    weights = closed_form(counts, 0.5 * counts.diagonal().mean())
    found = scores(Ease(EaseConfig(regularization=0.5)), csr(counts))
    assert (weights < 0).any()
    assert near(np.maximum(weights, 0), found)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_weights_are_those_of_a_ridge_regression_of_each_item_on_the_others(seed: int) -> None:
    affinities = purchases(seed)
    ridge = 0.5 * (affinities**2).sum(axis=0).mean()
    found = scores(Ease(EaseConfig(regularization=0.5)), gram(affinities))
    for j in range(12):
        others = np.arange(12) != j
        fitted = Ridge(alpha=ridge, fit_intercept=False).fit(
            affinities[:, others], affinities[:, j]
        )
        assert near(np.maximum(fitted.coef_, 0), found[others, j])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_list_is_the_closed_form_on_the_items_nearest_by_cosine(seed: int) -> None:
    affinities = purchases(seed)
    counts, size = affinities.T @ affinities, 5
    cosine = np.round(cosine_similarity(affinities.T), 12)
    np.fill_diagonal(cosine, 0)
    expected = np.zeros_like(counts)
    for i in range(12):
        nearest = np.lexsort((np.arange(12), -counts[i], -cosine[i]))[:size]
        around = [i, *nearest]
        weights = closed_form(counts[np.ix_(around, around)], 2 * counts.diagonal().mean())
        expected[i, nearest] = np.maximum(weights[0, 1:], 0)
    assert near(expected, scores(Ease(EaseConfig(neighborhood=size)), csr(counts)))


def test_what_two_items_both_say_counts_once() -> None:
    # Whoever has 0 has 1 as well; either foretells 2, as another item that is had alone does.
    same = np.array([[1, 1, 0, 1]] * 6 + [[0, 0, 1, 1]] * 6 + [[0, 0, 0, 0]], np.float64)
    found = scores(Ease(EaseConfig(regularization=0.01)), gram(same))
    assert found[0, 3] == pytest.approx(found[1, 3])
    assert found[0, 3] + found[1, 3] == pytest.approx(found[2, 3], rel=0.01)


def test_more_regularization_makes_smaller_weights() -> None:
    counts = gram(purchases(0))
    sums = [scores(Ease(EaseConfig(regularization=r)), counts).sum() for r in (0.1, 1, 10, 100)]
    assert sums == sorted(sums, reverse=True)


def test_rows_of_which_one_is_newer_than_the_other_make_lists_all_the_same() -> None:
    # Nobody's counts are these: there is no R for them.
    for of_item in ranked(Ease(EaseConfig(regularization=0.1)), csr([[5, 9], [4, 5]])):
        assert all(np.isfinite(score) and score > 0 for _, score in of_item)


def test_an_item_without_its_own_count_is_no_neighbor_yet() -> None:
    assert ranked(Ease(EaseConfig()), csr([[1, 1], [1, 0]])) == [[], []]


def test_linear_algebra_has_its_threads_back_afterwards() -> None:
    with threadpool_limits(2, "blas"):
        before = threadpool_info()
        ranked(Ease(EaseConfig()), gram(purchases(0)))
        assert threadpool_info() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"neighbors": 0},
        {"regularization": 0},
        {"regularization": float("inf")},
        {"neighborhood": 0},
    ],
)
def test_a_configuration_refuses_what_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        EaseConfig.model_validate(wrong)
