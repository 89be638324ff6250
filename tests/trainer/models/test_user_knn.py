"""User k-nearest-neighbors against brute force in both metrics, and whose lists stay empty."""

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.trainer.models.made import Affinities, binary, csr, fewer, lists, ranked
from trainer.models.user_knn import REASONS, Metric, UserKnn, UserKnnConfig


def brute_force(rows: Affinities, k: int, metric: Metric) -> list[dict[int, float]]:
    """The formula of `UserKnn`, user by user and item by item."""
    if metric == "unit-length":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def weight(distance: np.floating[npt.NBitBase]) -> float:
        return float(1 / (1 + distance) if metric == "raw" else 1 - distance**2 / 2)

    scores = []
    for u in range(len(rows)):
        distance = {v: np.linalg.norm(rows[u] - rows[v]) for v in range(len(rows)) if v != u}
        nearest = sorted(distance, key=distance.__getitem__)[:k]
        weights = {v: weight(distance[v]) for v in nearest}
        total = sum(weights.values())
        scores.append(
            {
                int(i): sum(weights[v] * rows[v, i] for v in nearest) / total
                for i in np.flatnonzero(rows[u] == 0)
            }
        )
    return scores


@pytest.mark.parametrize("metric", get_args(Metric))
@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_the_formula_by_brute_force(seed: int, metric: Metric) -> None:
    random = np.random.default_rng(seed)
    affinities = random.random((40, 12)) * (random.random((40, 12)) < 0.4)
    affinities[:, 0] += 0.1  # nobody has nothing, and nobody is a stranger
    found = ranked(UserKnn(UserKnnConfig(k=7, metric=metric)), csr(affinities))
    for of_user, expected in zip(found, brute_force(affinities, 7, metric), strict=True):
        assert dict(of_user) == pytest.approx({i: s for i, s in expected.items() if s > 0})


def test_raw_distances_prefer_who_has_little_to_who_has_the_same_and_more() -> None:
    # User 1 has one item, another one; user 2 has what user 0 has, and four items more.
    of = csr([[1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0], [1, 1, 0, 1, 1, 1, 1]])
    raw, unit_length = (
        ranked(UserKnn(UserKnnConfig(k=1, metric=metric)), of)[0]
        for metric in ("raw", "unit-length")
    )
    assert [item for item, _ in raw] == [2]
    assert [item for item, _ in unit_length] == [3, 4, 5, 6]


@pytest.mark.parametrize("seed", range(5))
def test_because_names_the_own_items_that_weigh_most_in_the_score(seed: int) -> None:
    random = np.random.default_rng(seed)
    affinities = random.random((20, 9)) * (random.random((20, 9)) < 0.5)
    affinities[:, 0] += 0.1
    unit = affinities / np.linalg.norm(affinities, axis=1, keepdims=True)
    ranking = UserKnn(UserKnnConfig(k=100)).fit(csr(affinities)).rank(0, 20)
    for u in range(20):
        others = np.delete(unit, u, axis=0)
        for entry in range(ranking.indptr[u], ranking.indptr[u + 1]):
            terms = unit[u] * (others * others[:, [ranking.columns[entry]]]).sum(axis=0)
            strongest = [j for j in np.argsort(-terms)[:REASONS] if terms[j] > 0]
            assert [j for j in ranking.because[entry] if j >= 0] == strongest


@fewer
@given(affinities=binary(), k=st.integers(1, 9))
def test_a_user_is_never_recommended_what_it_has(affinities: Affinities, k: int) -> None:
    ranking = UserKnn(UserKnnConfig(k=k)).fit(csr(affinities)).rank(0, len(affinities))
    for u, of_user in enumerate(lists(ranking)):
        assert not affinities[u, [i for i, _ in of_user]].any()
        reasons = ranking.because[ranking.indptr[u] : ranking.indptr[u + 1]]
        assert affinities[u, reasons[reasons >= 0]].all()
        assert (reasons[:, :1] >= 0).all()


def test_a_user_with_more_twins_than_neighbors_has_an_empty_list() -> None:
    twins = np.tile([1.0, 1.0, 0.0], (9, 1))
    assert ranked(UserKnn(UserKnnConfig(k=2)), csr(twins)) == [[]] * 9


def test_a_user_who_shares_nothing_with_anyone_has_an_empty_list() -> None:
    assert ranked(UserKnn(UserKnnConfig()), csr([[1, 0, 0], [0, 1, 1], [0, 1, 0]]))[0] == []


def test_support_of_a_recommendation_is_how_many_neighbors_have_it() -> None:
    of = csr([[1, 0, 0], [1, 1, 0], [1, 1, 1]])
    ranking = UserKnn(UserKnnConfig()).fit(of).rank(0, 1)
    assert dict(zip(ranking.columns, ranking.support, strict=True)) == {1: 2, 2: 1}


@pytest.mark.parametrize("wrong", [{"k": 0}, {"recommendations": 0}, {"metric": "cosine"}])
def test_a_configuration_refuses_what_makes_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        UserKnnConfig.model_validate(wrong)
