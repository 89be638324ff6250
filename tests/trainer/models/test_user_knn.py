"""User k-nearest-neighbors against brute force, whom they are, and whose lists stay empty."""

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from tests.trainer.models.made import Affinities, binary, csr, fewer, ranked, weighted
from trainer.counts.matrices import Matrix
from trainer.models.ranking import rounded
from trainer.models.user_knn import REASONS, Metric, UserKnn, UserKnnConfig, neighbors
from trainer.models.user_knn.neighbors import NOBODY, Neighbors

every_metric = pytest.mark.parametrize("metric", get_args(Metric))


def neighbors_of(affinities: Matrix, k: int, metric: Metric = "unit-length") -> Neighbors:
    return UserKnn(UserKnnConfig(k=k, metric=metric)).fit(affinities).neighbors


def distances(rows: Affinities, others: Affinities, metric: Metric) -> Affinities:
    """Return distances as far as they decide who is a neighbor; infinite where nobody is."""

    def scaled(some: Affinities) -> Affinities:
        length = np.linalg.norm(some, axis=1, keepdims=True)
        return some / np.where(length > 0, length, 1) if metric == "unit-length" else some

    apart = cdist(scaled(rows), scaled(others))
    strangers = metric == "unit-length" and rounded(scaled(rows) @ scaled(others).T) == 0
    apart[strangers | (rows.sum(axis=1) == 0)[:, np.newaxis] | (others.sum(axis=1) == 0)] = np.inf
    return apart


def shoppers(n_users: int, n_items: int, seed: int, *, weighted: bool) -> Matrix:
    """Return users who have up to 30 items each, by Zipf's law; a few have nothing."""
    random = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_items + 1)
    items = random.choice(n_items, (n_users, 30), p=popularity / popularity.sum())
    sizes = random.integers(0, 31, n_users)
    of = np.arange(30) < sizes[:, np.newaxis]
    users = np.repeat(np.arange(n_users), sizes)
    made: Matrix = csr_array((np.ones(of.sum()), (users, items[of])), shape=(n_users, n_items))
    made.data = random.gamma(1, 1, made.nnz) + 0.05 if weighted else np.ones(made.nnz)
    return made


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


@every_metric
@fewer
@given(affinities=binary() | weighted(), k=st.integers(1, 9))
def test_neighbors_are_the_nearest_users_at_their_true_distances(
    metric: Metric, affinities: Affinities, k: int
) -> None:
    found = neighbors_of(csr(affinities), k, metric)
    apart = distances(affinities, affinities, metric)
    np.fill_diagonal(apart, np.inf)
    for users, closeness, of_u in zip(found.users, found.closeness, apart, strict=True):
        known = users != NOBODY
        nearest = np.sort(of_u[of_u < np.inf])[:k]
        # The square of a distance near 0 is lost in the noise of 1 - d^2 / 2.
        assert of_u[users[known]] == pytest.approx(nearest, rel=1e-9, abs=1e-5)
        squares = -closeness[known] if metric == "raw" else 2 * (1 - closeness[known])
        assert of_u[users[known]] ** 2 == pytest.approx(squares, rel=1e-9, abs=1e-11)
        assert (np.diff(closeness[known]) <= 0).all()
        assert len(set(users[known])) == known.sum()


@every_metric
@pytest.mark.parametrize("weighted", [False, True], ids=["binary", "weighted"])
def test_neighbors_in_many_blocks_are_the_nearest_ones(
    metric: Metric, *, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbors, "_CELLS", 1 << 16)
    monkeypatch.setattr(neighbors, "_PAIRS", 5_000)
    k, some, affinities = 50, np.arange(0, 2_000, 20), shoppers(2_000, 400, 1, weighted=weighted)
    found = neighbors_of(affinities, k, metric)
    apart = np.round(distances(affinities[some].toarray(), affinities.toarray(), metric), 9)
    apart[np.arange(len(some)), some] = np.inf
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :k]
    nearest[np.take_along_axis(apart, nearest, axis=1) == np.inf] = NOBODY
    assert found.users[some].tolist() == nearest.tolist()


@every_metric
@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_the_formula_by_brute_force(seed: int, metric: Metric) -> None:
    random = np.random.default_rng(seed)
    affinities = random.random((40, 12)) * (random.random((40, 12)) < 0.4)
    affinities[:, 0] += 0.1  # nobody has nothing, and nobody is a stranger
    found = ranked(UserKnn(UserKnnConfig(k=7, metric=metric)), csr(affinities))
    for of_user, expected in zip(found, brute_force(affinities, 7, metric), strict=True):
        assert dict(of_user) == pytest.approx({i: s for i, s in expected.items() if s > 0})


@pytest.mark.parametrize("seed", range(5))
def test_because_names_the_own_items_that_weigh_most_in_the_score(seed: int) -> None:
    random = np.random.default_rng(seed)
    affinities = random.random((20, 9)) * (random.random((20, 9)) < 0.5)
    affinities[:, 0] += 0.1
    unit = affinities / np.linalg.norm(affinities, axis=1, keepdims=True)
    ranking = UserKnn(UserKnnConfig(k=100)).fit(csr(affinities)).rank(np.arange(20))
    for u in range(20):
        others = np.delete(unit, u, axis=0)
        for entry in range(ranking.indptr[u], ranking.indptr[u + 1]):
            terms = unit[u] * (others * others[:, [ranking.columns[entry]]]).sum(axis=0)
            strongest = [j for j in np.argsort(-terms)[:REASONS] if terms[j] > 0]
            assert [j for j in ranking.because[entry] if j >= 0] == strongest
