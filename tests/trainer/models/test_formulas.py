"""Scores are those of their formulas (EASE, user k-nearest-neighbors); each row keeps its best."""

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from contracts.fold_in import SCORE_DECIMALS
from contracts.times import DAY_MS
from tests.oracles.cosine import cosine_similarity
from tests.oracles.gram import gram_matrix
from tests.trainer.models.made import (
    Affinities,
    binary,
    csr,
    fewer,
    gram,
    lists,
    near,
    ranked,
    scores,
    weighted,
)
from trainer.counts.blocks import blocks
from trainer.counts.derived import Histories
from trainer.counts.matrices import Matrix
from trainer.models import ease
from trainer.models import ease as inverses
from trainer.models.cosine import Cosine, CosineConfig
from trainer.models.ease import Ease, EaseConfig
from trainer.models.ordered import Ordered, OrderedConfig
from trainer.models.popular import Popular, PopularConfig, recent_counts
from trainer.models.ranking import best_neighbors, rounded, top_n
from trainer.models.user_knn import REASONS, Metric, UserKnn, UserKnnConfig, neighbors
from trainer.models.user_knn.neighbors import NOBODY, Neighbors


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
def test_scores_follow_the_formula(t: np.ndarray, dampings: tuple[float, float], more: int) -> None:
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
    return Histories(csr(affinities), (days[affinities > 0] * DAY_MS).astype(np.int64))


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


# Few values, so that nearly everything ties.
tied = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.integers(0, 3)
)


@given(
    scores=tied,
    unit=st.sampled_from([1, 10.0**-SCORE_DECIMALS, -0.1, 1e6, 1e300]),
    n=st.integers(1, 10),
    data=st.data(),
)
def test_the_best_n_go_by_score_then_support_then_column(
    scores: npt.NDArray[np.float64], unit: float, n: int, data: st.DataObject
) -> None:
    """Whether scores and places fit into one integer or not."""
    of = csr_array(scores) * unit
    support = data.draw(arrays(np.float64, of.nnz, elements=st.integers(0, 2)))
    ranking = top_n(of, support, n)
    for row in range(of.shape[0]):
        entries = range(of.indptr[row], of.indptr[row + 1])
        best = sorted(entries, key=lambda e: (-of.data[e], -support[e], of.indices[e]))[:n]
        found = slice(ranking.indptr[row], ranking.indptr[row + 1])
        assert ranking.columns[found].tolist() == [of.indices[e] for e in best]
        assert ranking.scores[found].tolist() == [of.data[e] for e in best]
        assert ranking.support[found].tolist() == [support[e] for e in best]


@given(sizes=st.lists(st.integers(0, 20)), budget=st.integers(1, 30))
def test_blocks_cover_all_rows_in_order_within_the_budget(sizes: list[int], budget: int) -> None:
    cut = blocks(np.array(sizes, np.int64), budget)
    assert [row for start, stop in cut for row in range(start, stop)] == list(range(len(sizes)))
    assert all(sum(sizes[a:b]) <= budget or b == a + 1 for a, b in cut)


@given(counts=tied, start=st.integers(0, 3), n=st.integers(1, 10), data=st.data())
def test_the_largest_n_by_absolute_value_are_kept_ties_by_support_then_by_item(
    counts: npt.NDArray[np.float64], start: int, n: int, data: st.DataObject
) -> None:
    block = csr(counts)
    scores = data.draw(
        arrays(np.float64, block.nnz, elements=st.sampled_from([-2.0, -1.0, -0.5, 0, 0.5, 1, 2]))
    )
    ranking = best_neighbors(block, scores, np.arange(start, start + len(counts)), n)
    for row, found in enumerate(lists(ranking)):
        entries = [
            (scores[e], block.data[e], int(block.indices[e]))
            for e in range(block.indptr[row], block.indptr[row + 1])
            if scores[e] and block.indices[e] != start + row
        ]
        # Of equal size, what is in the row first is kept; support decides among equal scores.
        kept = sorted(entries, key=lambda entry: (-abs(entry[0]), -entry[1], entry[2]))[:n]
        in_order = sorted(kept, key=lambda entry: (-entry[0], -entry[1], entry[2]))
        assert found == [(item, score) for score, _, item in in_order]
        support = ranking.support[ranking.indptr[row] : ranking.indptr[row + 1]]
        assert support.tolist() == [support_of for _, support_of, _ in in_order]


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


def test_few_items_ranked_at_once_have_the_same_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = gram(purchases(0))
    at_once = ranked(Ease(EaseConfig()), counts)
    monkeypatch.setattr(ease, "_CELLS", 5 * counts.shape[1])
    assert ranked(Ease(EaseConfig()), counts) == at_once
