"""Every model, held to the same claims, and each to its own known answers."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.sparse import csr_array
from sklearn.metrics.pairwise import cosine_similarity

from trainer.matrices import Matrix, matrix
from trainer.models import Model
from trainer.models.cosine import Cosine, CosineConfig
from trainer.models.popular import Popular, PopularConfig
from trainer.models.user_knn import REASONS, UserKnn, UserKnnConfig
from trainer.ranking import Ranking

# A slow machine is no finding.
unhurried = settings(deadline=None)

Affinities = npt.NDArray[np.float64]


def csr(dense: npt.ArrayLike) -> Matrix:
    made: Matrix = csr_array(np.asarray(dense, np.float64))
    return made


def gram(affinities: Affinities) -> Matrix:
    return csr(affinities.T @ affinities)


CONFORMING: list[tuple[Model, Callable[[Affinities], Matrix]]] = [
    (Cosine(CosineConfig(neighbors=3)), gram),
    (Cosine(CosineConfig(shrinkage=2.5, popularity_damping=0.8)), gram),
    (Popular(PopularConfig(items=3)), gram),
    (UserKnn(UserKnnConfig(k=100, recommendations=3)), csr),
]
every_model = pytest.mark.parametrize(
    ("model", "input_of"), CONFORMING, ids=lambda x: getattr(x, "__name__", str(x))[:40]
)


def shapes(largest: int = 8) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(1, largest), st.integers(1, largest))


def binary() -> st.SearchStrategy[Affinities]:
    return arrays(np.float64, shapes(), elements=st.sampled_from([0.0, 1.0]))


def weighted() -> st.SearchStrategy[Affinities]:
    return arrays(np.float64, shapes(), elements=st.just(0.0) | st.floats(1e-3, 1e6))


def lists(ranking: Ranking) -> list[list[tuple[int, float]]]:
    pairs = list(zip(ranking.columns.tolist(), ranking.scores.tolist(), strict=True))
    return [pairs[a:b] for a, b in zip(ranking.indptr[:-1], ranking.indptr[1:], strict=True)]


def ranked(model: Model, of: Matrix) -> list[list[tuple[int, float]]]:
    ranker = model.fit(of)
    return lists(ranker.rank(0, ranker.n_rows))


@every_model
@unhurried
@given(affinities=binary() | weighted())
def test_lists_are_best_first_without_repetition_and_of_positive_scores(
    model: Model, input_of: Callable[[Affinities], Matrix], affinities: Affinities
) -> None:
    for of_row in ranked(model, input_of(affinities)):
        scores = [score for _, score in of_row]
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score < np.inf for score in scores)
        assert len({column for column, _ in of_row}) == len(of_row)


@every_model
@unhurried
@given(affinities=binary(), size=st.integers(1, 3))
def test_lists_are_the_same_in_whatever_blocks_they_are_made(
    model: Model, input_of: Callable[[Affinities], Matrix], affinities: Affinities, size: int
) -> None:
    ranker = model.fit(input_of(affinities))
    starts = range(0, ranker.n_rows, size)
    in_blocks = [
        of_row
        for start in starts
        for of_row in lists(ranker.rank(start, min(start + size, ranker.n_rows)))
    ]
    assert in_blocks == lists(ranker.rank(0, ranker.n_rows))


@every_model
@unhurried
@given(affinities=binary() | weighted(), random=st.randoms())
def test_users_in_another_order_change_no_item_list(
    model: Model,
    input_of: Callable[[Affinities], Matrix],
    affinities: Affinities,
    random: np.random.RandomState,
) -> None:
    order = list(range(len(affinities)))
    random.shuffle(order)
    before, after = (
        ranked(model, input_of(affinities)),
        ranked(model, input_of(affinities[order])),
    )
    if isinstance(model, UserKnn):
        before = [before[u] for u in order]
    for one, other in zip(before, after, strict=True):
        assert [score for _, score in one] == pytest.approx([s for _, s in other], rel=1e-9)
        if np.isin(affinities, [0, 1]).all():
            assert [column for column, _ in one] == [column for column, _ in other]


@every_model
@pytest.mark.parametrize("shape", [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (1, 2)])
def test_a_matrix_of_nothing_makes_empty_lists(
    model: Model, input_of: Callable[[Affinities], Matrix], shape: tuple[int, int]
) -> None:
    assert not any(ranked(model, input_of(np.zeros(shape))))


@unhurried
@given(affinities=binary() | weighted())
def test_cosine_is_that_of_scikit_learn(affinities: Affinities) -> None:
    expected = cosine_similarity(affinities.T)
    found = np.zeros_like(expected)
    for i, neighbors in enumerate(ranked(Cosine(CosineConfig()), gram(affinities))):
        for j, score in neighbors:
            found[i, j] = score
    np.fill_diagonal(expected, 0)
    assert np.abs(found - expected).max() < 1e-12


def test_items_of_a_checkerboard_are_alike_within_their_color_only() -> None:
    board = np.indices((6, 8)).sum(axis=0) % 2 * 1.0
    for i, neighbors in enumerate(ranked(Cosine(CosineConfig()), gram(board))):
        assert neighbors == [(j, 1.0) for j in range(8) if j % 2 == i % 2 and j != i]


def test_an_item_that_is_always_alone_has_no_neighbors() -> None:
    assert ranked(Cosine(CosineConfig()), gram(np.eye(3))) == [[], [], []]


def test_equal_scores_go_by_support_then_by_item_id() -> None:
    # Item 0 shares 2 users with 1 and with 4, who have 8 each, and 1 with 2 and 3, who have 2.
    of = csr(
        [
            [2, 2, 1, 1, 2],
            [2, 8, 0, 0, 0],
            [1, 0, 2, 0, 0],
            [1, 0, 0, 2, 0],
            [2, 0, 0, 0, 8],
        ]
    )
    first = ranked(Cosine(CosineConfig()), of)[0]
    assert first == [(1, 0.5), (4, 0.5), (2, 0.5), (3, 0.5)]
    assert ranked(Cosine(CosineConfig(neighbors=3)), of)[0] == first[:3]


def test_shrinkage_lowers_scores_that_rest_on_few_users() -> None:
    of = csr([[4, 2, 1], [2, 4, 0], [1, 0, 1]])
    config = CosineConfig(shrinkage=10)
    assert ranked(Cosine(config), of)[0] == [
        (1, pytest.approx(2 / (4 + 10))),
        (2, pytest.approx(1 / (2 + 10))),
    ]


def test_popularity_damping_divides_by_more_of_the_neighbors_count() -> None:
    of = csr([[4, 3], [3, 9]])
    config = CosineConfig(popularity_damping=0.75)
    assert ranked(Cosine(config), of)[0] == [(1, pytest.approx(3 / (4**0.25 * 9**0.75)))]


def test_cosine_stays_at_one_while_a_row_is_newer_than_the_other() -> None:
    assert ranked(Cosine(CosineConfig()), csr([[5, 5], [4, 4]]))[0] == [(1, 1.0)]


def test_an_item_without_its_own_count_is_no_neighbor_yet() -> None:
    assert ranked(Cosine(CosineConfig()), csr([[1, 1], [1, 0]])) == [[], []]


def test_counts_too_large_to_multiply_have_a_cosine_all_the_same() -> None:
    assert ranked(Cosine(CosineConfig()), csr([[1e300, 5e299], [5e299, 1e300]]))[0] == [(1, 0.5)]


@unhurried
@given(affinities=binary() | weighted())
def test_popular_is_the_diagonal(affinities: Affinities) -> None:
    own = (affinities**2).sum(axis=0)
    (found,) = ranked(Popular(PopularConfig(items=100)), gram(affinities))
    expected = sorted((-own[i], i) for i in np.flatnonzero(own))
    assert [i for i, _ in found] == [i for _, i in expected] or len(set(own)) < len(own)
    assert [s for _, s in found] == pytest.approx([-s for s, _ in expected])


def brute_force(affinities: Affinities, k: int) -> list[dict[int, float]]:
    """The formula of `UserKnn`, user by user and item by item."""
    unit = affinities / np.linalg.norm(affinities, axis=1, keepdims=True)
    scores = []
    for u in range(len(unit)):
        distance = {v: np.linalg.norm(unit[u] - unit[v]) for v in range(len(unit)) if v != u}
        nearest = sorted(distance, key=distance.__getitem__)[:k]
        weight = {v: 1 - distance[v] ** 2 / 2 for v in nearest}
        total = sum(weight.values())
        scores.append(
            {
                i: sum(weight[v] * unit[v, i] for v in nearest) / total
                for i in np.flatnonzero(affinities[u] == 0)
            }
        )
    return scores


@pytest.mark.parametrize("seed", range(5))
def test_user_knn_is_the_formula_by_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    affinities = random.random((40, 12)) * (random.random((40, 12)) < 0.4)
    affinities[:, 0] += 0.1  # nobody has nothing, and nobody is a stranger
    found = ranked(UserKnn(UserKnnConfig(k=7)), csr(affinities))
    for of_user, expected in zip(found, brute_force(affinities, k=7), strict=True):
        assert dict(of_user) == pytest.approx({i: s for i, s in expected.items() if s > 0})


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


@unhurried
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


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (CosineConfig, {"neighbors": 0}),
        (CosineConfig, {"shrinkage": -1}),
        (CosineConfig, {"shrinkage": float("inf")}),
        (CosineConfig, {"popularity_damping": 1.1}),
        (PopularConfig, {"items": 0}),
        (UserKnnConfig, {"k": 0}),
        (UserKnnConfig, {"recommendations": 0}),
    ],
)
def test_a_configuration_refuses_what_makes_no_sense(
    config: Callable[..., object], wrong: dict[str, float]
) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        config(**wrong)


def test_a_matrix_keeps_columns_ascending_and_nothing_below_or_at_zero() -> None:
    made = matrix(np.array([3.0, 0, -1, 2]), np.array([2, 0, 1, 0]), np.array([3, 0, 1]), 4)
    assert made.toarray().tolist() == [[0, 0, 3, 0], [0, 0, 0, 0], [2, 0, 0, 0]]
    assert made.nnz == 2
    assert made.has_canonical_format
