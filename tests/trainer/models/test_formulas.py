"""Scores are those of their formulas, and the best of each row are kept."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from contracts.fold_in import SCORE_DECIMALS
from contracts.times import DAY_MS
from tests.oracles.cosine import cosine_similarity
from tests.trainer.models.made import (
    Affinities,
    binary,
    csr,
    fewer,
    gram,
    lists,
    ranked,
    scores,
    weighted,
)
from trainer.counts.blocks import blocks
from trainer.counts.derived import Histories
from trainer.models.cosine import Cosine, CosineConfig
from trainer.models.ordered import Ordered, OrderedConfig
from trainer.models.popular import Popular, PopularConfig, recent_counts
from trainer.models.ranking import best_neighbors, top_n


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
