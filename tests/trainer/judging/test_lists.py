"""What is measured is what is served: the lists are those that the API makes."""

from collections import Counter

import msgspec
import numpy as np
import pytest
from scipy.sparse import csr_array

from api.recommendations.choosing import Wish, folded_items, from_history
from api.recommendations.lists import GenerationLists
from contracts.affinities import HistoryEntry
from contracts.event_types import BUILT_IN
from contracts.fold_in import FoldIn
from contracts.generations import Neighbor, SimilarList
from contracts.times import DAY_MS
from tests.trainer.evaluation.made import holdout_of
from trainer.evaluation.interactions import Interactions, Split, WorkerRules
from trainer.evaluation.preparing import prepare
from trainer.judging.lists import (
    NONE,
    Recommended,
    continued,
    from_item_lists,
    from_popular,
)

WHOLE = FoldIn()


def lists_in(recommended: Recommended) -> list[list[int]]:
    return [[i for i in items if i != NONE] for items in recommended.items.tolist()]


def test_short_lists_go_on_with_other_ones_without_repetition() -> None:
    users, scores = np.arange(4), np.full((4, 3), 0.5)
    lists = np.array([[1, 2, 3], [4, NONE, NONE], [NONE] * 3, [4, 5, NONE]])
    popular = np.array([[7, 8, 9], [9, 4, 8], [7, 8, NONE], [4, 5, NONE]])
    found = continued(Recommended(users, lists, scores), Recommended(users, popular, scores))
    assert lists_in(found) == [[1, 2, 3], [4, 9, 8], [7, 8], [4, 5]]


def random_events(random: np.random.Generator, users: int, items: int, n: int) -> Interactions:
    ts_ms, of_users = random.integers(0, 50, n) * DAY_MS, random.integers(0, users, n)
    of_items, types = random.integers(0, items, n), random.choice([*BUILT_IN], n).astype(object)
    return Interactions(
        ts_ms=ts_ms,
        users=np.array([f"u{u}" for u in of_users], object),
        items=of_items,
        events=types,
        weights=np.array([BUILT_IN[event] for event in types]),
        values=np.full(n, np.nan),
    )


def of_the_api(
    history: dict[int, HistoryEntry], scores: np.ndarray, items: np.ndarray, fold_in: FoldIn, n: int
) -> tuple[list[int], list[float]]:
    """What the API's own code recommends a user with this history, from the same lists."""
    lists, rows = GenerationLists(), {}
    for i, item in enumerate(items.tolist()):
        order = np.argsort(-scores[i], kind="stable")
        neighbors = [Neighbor(str(items[j]), float(scores[i, j]), 1) for j in order if scores[i, j]]
        rows[item] = lists.add(item, msgspec.json.encode(SimilarList("cosine", neighbors)))
    wish = Wish(n, frozenset())
    of_items = {item: rows[item] for item in folded_items(history, fold_in)}
    chosen = from_history(history, of_items, lists, wish, fold_in)
    return [r.instrument_id for r in chosen.items], [r.score for r in chosen.items]


@pytest.mark.parametrize(
    "fold_in",
    [
        WHOLE,
        FoldIn(5),
        FoldIn(half_life_days=7),
        FoldIn(half_life_items=0.1),
        FoldIn(20, 3, 2),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_folding_in_is_that_of_the_api(seed: int, fold_in: FoldIn) -> None:
    random = np.random.default_rng(seed)
    train = random_events(random, users=12, items=90, n=900)
    test = random_events(random, users=12, items=90, n=200)
    prepared = prepare(Split(train, test), WorkerRules(affinity="weighted", half_life_days=30))
    n_items = len(prepared.items)
    # Some items speak against others.
    scores = (random.random((n_items, n_items)) - 0.3) * (random.random((n_items, n_items)) < 0.3)
    np.fill_diagonal(scores, 0)
    found = from_item_lists(prepared.holdout, csr_array(scores), fold_in, 10)
    histories = prepared.holdout.histories
    assert (histories.degrees > 20).any()
    assert max(Counter(histories.ts_ms.tolist()).values()) > 1
    for place, row in enumerate(found.users.tolist()):
        start, stop = histories.affinities.indptr[row : row + 2]
        entries = zip(
            prepared.items[histories.affinities.indices[start:stop]].tolist(),
            histories.affinities.data[start:stop].tolist(),
            histories.ts_ms[start:stop].tolist(),
            strict=True,
        )
        history = {item: HistoryEntry(r=r, t=t) for item, r, t in entries}
        expected = of_the_api(history, scores, prepared.items, fold_in, 10)
        assert prepared.items[lists_in(found)[place]].tolist() == expected[0]
        assert found.scores[place, : len(expected[1])] == pytest.approx(expected[1])


def test_who_has_what_is_most_popular_gets_what_comes_next() -> None:
    case = holdout_of([[1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1]], [[0, 1, 0, 0, 0, 0]] * 2)
    found = from_popular(case, csr_array(np.array([[6.0, 1, 5, 4, 2, 3]])), 2)
    assert lists_in(found) == [[5, 4], [0, 2]]
