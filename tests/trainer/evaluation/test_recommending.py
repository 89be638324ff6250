"""What is measured is what is served: the lists are those that the API makes."""

import msgspec
import numpy as np
import pytest
from scipy.sparse import csr_array

from api.lists import GenerationLists
from api.recommend import FOLDED_IN_ITEMS as OF_THE_API
from api.recommend import HistoryEntry, Wish, from_history
from contracts.keyspace import Neighbor, SimilarList
from trainer.evaluation.holdout import FOLDED_IN_ITEMS, Holdout, prepare
from trainer.evaluation.interactions import Interactions, Split
from trainer.evaluation.recommending import (
    NONE,
    Recommended,
    from_item_lists,
    from_popular,
    from_user_lists,
)


def lists_in(recommended: Recommended) -> list[list[int]]:
    return [[i for i in items if i != NONE] for items in recommended.items.tolist()]


def random_events(random: np.random.Generator, users: int, items: int, n: int) -> Interactions:
    return Interactions(
        ts_ms=random.integers(0, 50, n),
        users=np.array([f"u{u}" for u in random.integers(0, users, n)], object),
        items=random.integers(0, items, n),
    )


def of_the_api(
    events: Interactions, scores: np.ndarray, items: np.ndarray, user: str, n: int
) -> tuple[list[int], list[float]]:
    """What the API's own code recommends a user with these events, from the same lists."""
    history: dict[int, HistoryEntry] = {}
    for u, item, ts in zip(events.users, events.items.tolist(), events.ts_ms.tolist(), strict=True):
        if u == user:
            last = history[item].t if item in history else 0
            history[item] = HistoryEntry(r=1, t=max(ts, last))
    lists = GenerationLists()
    for i, item in enumerate(items.tolist()):
        order = np.argsort(-scores[i], kind="stable")
        neighbors = [
            Neighbor(str(items[j]), float(scores[i, j]), 1) for j in order if scores[i, j] > 0
        ]
        lists.add(item, msgspec.json.encode(SimilarList("cosine", neighbors)))
    chosen = from_history(history, lists, Wish(n, frozenset(), include_seen=False))
    return [r.instrument_id for r in chosen.items], [r.score for r in chosen.items]


@pytest.mark.parametrize("seed", range(3))
def test_folding_in_is_that_of_the_api(seed: int) -> None:
    random = np.random.default_rng(seed)
    train = random_events(random, users=12, items=90, n=900)
    test = random_events(random, users=12, items=90, n=200)
    prepared = prepare(Split(train, test))
    n_items = len(prepared.items)
    scores = random.random((n_items, n_items)) * (random.random((n_items, n_items)) < 0.3)
    np.fill_diagonal(scores, 0)
    found = from_item_lists(prepared.holdout, csr_array(scores), 10)
    assert (np.diff(prepared.holdout.train.indptr) > FOLDED_IN_ITEMS).any()
    for place, user in enumerate(prepared.users[found.users]):
        expected = of_the_api(train, scores, prepared.items, user, 10)
        assert prepared.items[lists_in(found)[place]].tolist() == expected[0]
        assert found.scores[place, : len(expected[1])] == pytest.approx(expected[1])


def test_as_many_items_are_folded_in_as_by_the_api() -> None:
    assert FOLDED_IN_ITEMS == OF_THE_API


def holdout(train: list[list[int]], test: list[list[int]]) -> Holdout:
    had = csr_array(np.array(train, float))
    return Holdout(had, had, csr_array(np.array(test, float)))


def test_what_a_user_has_is_left_out_and_equal_scores_go_by_the_smaller_item() -> None:
    case = holdout([[1, 0, 0, 0, 0]], [[0, 0, 0, 0, 1]])
    lists = csr_array(np.array([[9, 1, 2, 2, 1.0]] + [[0.0] * 5] * 4))
    found = from_item_lists(case, lists, 3)
    assert lists_in(found) == [[2, 3, 1]]
    assert found.scores.tolist() == [[2, 2, 1]]


def test_only_users_with_something_to_be_found_get_a_list() -> None:
    case = holdout([[1, 0], [0, 1], [1, 0]], [[0, 0], [1, 0], [0, 1]])
    found = from_popular(case, csr_array(np.array([[2.0, 1.0]])), 2)
    assert found.users.tolist() == [1, 2]
    assert lists_in(found) == [[0], [1]]


def test_a_user_s_own_list_is_taken_from_its_row() -> None:
    case = holdout([[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 1]])
    found = from_user_lists(case, csr_array(np.array([[0, 1.0, 2], [3, 0, 0]])), 2)
    assert lists_in(found) == [[2, 1], [0]]
