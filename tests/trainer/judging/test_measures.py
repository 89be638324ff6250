"""Measures are those of other libraries and of brute force; what is measured is what is served."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, permutations

import msgspec
import numpy as np
import pytest
import pytrec_eval
from scipy.sparse import csr_array

from api.recommendations.choosing import Wish, folded_items, from_history, from_repeats
from api.recommendations.lists import GenerationLists
from contracts.affinities import HistoryEntry
from contracts.event_types import BUILT_IN
from contracts.fold_in import FoldIn
from contracts.generations import Neighbor, Repeats, SimilarList
from contracts.messages import Floats
from contracts.times import DAY_MS
from tests.oracles.cosine import cosine_similarity
from tests.trainer.evaluation.made import holdout_of, interactions
from trainer.evaluation.interactions import Interactions, Split, WorkerRules
from trainer.evaluation.preparing import prepare
from trainer.judging.holdout import Holdout
from trainer.judging.intervals import intervals, lead_of
from trainer.judging.lists import NONE, Judged, Made, Recommended, continued, from_item_lists, judge
from trainer.judging.measures import NAMES, OF_A_LIST, point_values
from trainer.judging.repeats import MOST, judge_repeats, own_items

N = 10
TREC = {
    "ndcg": f"ndcg_cut_{N}",
    "map": f"map_cut_{N}",
    "precision": f"P_{N}",
    "recall": f"recall_{N}",
    "hit_rate": f"success_{N}",
}


def random_case(seed: int, users: int = 60, items: int = 80) -> tuple[Holdout, Recommended]:
    """Lists of 0 to N items for users with 1 to 30 items to be found."""
    random = np.random.default_rng(seed)
    train = (random.random((users, items)) < 0.2).astype(float)
    train[0] = 1  # no item without a user
    test = np.zeros((users, items))
    lists = np.full((users, N), NONE)
    for u in range(users):
        test[u, random.choice(items, random.integers(1, 31), replace=False)] = 1
        length = random.integers(0, N + 1)
        lists[u, :length] = random.choice(items, length, replace=False)
    test *= 1 - train
    test[:, -1], train[:, -1], train[0, -1] = 1, 0, 1
    judged = np.arange(1, users)
    test[0] = 0
    scores = np.where(lists == NONE, 0, np.arange(N, 0, -1.0))
    return holdout_of(train, test), Recommended(judged, lists[judged], scores[judged])


def trec_values(holdout: Holdout, recommended: Recommended) -> dict[str, list[float]]:
    test = holdout.test.toarray()
    wanted = {
        str(u): {str(i): 1 for i in np.flatnonzero(test[u])} for u in recommended.users.tolist()
    }
    lists = {
        str(u): {
            str(i): float(score)
            for i, score in zip(items.tolist(), scores.tolist(), strict=True)
            if i != NONE
        }
        for u, items, scores in zip(
            recommended.users, recommended.items, recommended.scores, strict=True
        )
    }
    asked = {"ndcg_cut", "map_cut", "P", "recall", "success"}
    found = pytrec_eval.RelevanceEvaluator(wanted, {f"{name}.{N}" for name in asked}).evaluate(
        {user: of_user for user, of_user in lists.items() if of_user}
    )
    # trec_eval leaves out who has no list; here such a list found nothing.
    return {
        name: [found.get(user, {}).get(trec, 0.0) for user in lists] for name, trec in TREC.items()
    }


@pytest.mark.parametrize("name", TREC)
@pytest.mark.parametrize("seed", range(3))
def test_accuracy_is_that_of_trec_eval(name: str, seed: int) -> None:
    holdout, recommended = random_case(seed)
    expected = trec_values(holdout, recommended)[name]
    assert OF_A_LIST[name](judge(holdout, recommended)) == pytest.approx(expected, abs=1e-9)
    assert 0 < np.mean(expected) < 1


def lists_in(judged: Judged | Recommended) -> list[list[int]]:
    return [[i for i in of_user if i != NONE] for of_user in judged.items.tolist()]


def brute_personalization(judged: Judged) -> float:
    lists = [set(of_user) for of_user in lists_in(judged)]
    return 1 - float(np.mean([len(a & b) / judged.n for a, b in permutations(lists, 2)]))


def brute_coverage(judged: Judged) -> float:
    return len({i for of_user in lists_in(judged) for i in of_user}) / judged.train.shape[1]


def brute_similarity(judged: Judged) -> float:
    cosine = cosine_similarity(judged.train.T.toarray())
    lists = [of_user for of_user in lists_in(judged) if len(of_user) > 1]
    of_each = [np.mean([cosine[i, j] for i, j in combinations(of_user, 2)]) for of_user in lists]
    return float(np.mean(of_each))


def brute_novelty(judged: Judged) -> float:
    share = (judged.train.toarray() > 0).mean(axis=0)
    lists = [of_user for of_user in lists_in(judged) if of_user]
    return float(np.mean([-np.log2(share[of_user]).mean() for of_user in lists]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "brute_force"),
    [
        ("personalization", brute_personalization),
        ("coverage", brute_coverage),
        ("intra_list_similarity", brute_similarity),
        ("novelty", brute_novelty),
    ],
)
def test_the_closed_forms_are_what_brute_force_finds(
    name: str, brute_force: Callable[[Judged], float], seed: int
) -> None:
    judged = judge(*random_case(seed))
    assert point_values(of_lists(judged), judged)[name] == pytest.approx(
        brute_force(judged), abs=1e-12
    )


def of_lists(judged: Judged) -> dict[str, Floats]:
    return {name: of_a_list(judged) for name, of_a_list in OF_A_LIST.items()}


def test_every_value_is_within_its_interval_and_a_seed_makes_the_same_one_again() -> None:
    judged = judge(*random_case(0))
    lists = of_lists(judged)
    values, found = point_values(lists, judged), intervals(lists, judged, 3)
    assert set(found) == set(NAMES)
    assert all(low < values[name] < high for name, (low, high) in found.items())
    assert found == intervals(lists, judged, 3)
    assert found != intervals(lists, judged, 4)


def test_a_lead_is_that_of_each_user_s_two_lists() -> None:
    random = np.random.default_rng(1)
    theirs = random.random(400)
    ours = theirs + random.normal(0.02, 0.05, 400)  # good and bad for the same users
    lead = lead_of(ours, theirs)
    assert lead.mean == pytest.approx(ours.mean() - theirs.mean(), abs=1e-6)
    error = (ours - theirs).std() / np.sqrt(400)
    assert 0 < lead.error < lead.mean
    assert lead.error == pytest.approx(1.96 * error, rel=0.01)


WHOLE = FoldIn()


def test_short_lists_go_on_with_other_ones_without_repetition() -> None:
    users, scores = np.arange(4), np.full((4, 3), 0.5)
    lists = np.array([[1, 2, 3], [4, NONE, NONE], [NONE] * 3, [4, 5, NONE]])
    popular = np.array([[7, 8, 9], [9, 4, 8], [7, 8, NONE], [4, 5, NONE]])
    found = continued(Recommended(users, lists, scores), Recommended(users, popular, scores))
    assert lists_in(found) == [[1, 2, 3], [4, 9, 8], [7, 8], [4, 5]]


def test_as_many_repeats_lead_as_predict_best_beyond_chance() -> None:
    """40 users have items 0 to 3, and the popular list is 5, 6, 7."""
    train, test = np.zeros((40, 8)), np.zeros((40, 8))
    train[:, :4], test[:, 5] = 1, 1
    popular = Recommended(np.arange(40), np.tile([5, 6, 7], (40, 1)), np.zeros((40, 3)))

    def judged(taken_again: int) -> tuple[int, list[Repeats]]:
        again = np.zeros((40, 8))
        again[:taken_again, 0] = 1
        holdout = replace(holdout_of(train, test), again=csr_array(again))
        return judge_repeats(holdout, 3, Made(popular), by_affinity=True)

    assert judged(0) == (0, [])
    most, found = judged(40)
    second = 1 / np.log2(3)  # what a hit at the second place is worth, and 1 at the first
    assert most == 1
    assert [one.ndcg for one in found[:3]] == pytest.approx(
        [1 / (1 + second), 1, (1 + 0.5) / (1 + second)], abs=1e-6
    )
    assert [one.new for one in found] == pytest.approx([1, second, 0.5, 0, 0, 0], abs=1e-6)
    assert [(one.most, one.again) for one in found] == [(0, 0), *((k, 1) for k in MOST[1:])]
    test[:, 5], test[:, 4] = 0, 1  # nothing is found but one user's repeat: that is chance
    most, found = judged(1)
    assert most == 0
    assert found[1].ndcg > found[0].ndcg == 0


def random_events(random: np.random.Generator, n: int) -> Interactions:
    """Return events of 12 users and 90 items in 50 days."""
    days, users, items = (random.integers(0, most, n).tolist() for most in (50, 12, 90))
    types = random.choice([*BUILT_IN], n).tolist()
    events = zip(users, items, days, types, strict=True)
    return interactions([(f"u{u}", i, day * DAY_MS, event, np.nan) for u, i, day, event in events])


def of_the_api(
    history: dict[int, HistoryEntry], scores: np.ndarray, items: np.ndarray, fold_in: FoldIn, n: int
) -> tuple[list[int], list[float], list[int]]:
    """What the API's own code recommends a user with this history, from the same lists.

    Items that the user does not have with their scores, and those that the user has.
    """
    lists, rows = GenerationLists(), {}
    for i, item in enumerate(items.tolist()):
        order = np.argsort(-scores[i], kind="stable")
        neighbors = [Neighbor(str(items[j]), float(scores[i, j]), 1) for j in order if scores[i, j]]
        rows[item] = lists.add(item, msgspec.json.encode(SimilarList("cosine", neighbors)))
    wish, again = Wish(n, frozenset()), Wish(n, frozenset(), repeats=n)
    of_items = {item: rows[item] for item in folded_items(history, fold_in)}
    chosen = from_history(history, of_items, lists, wish, fold_in)
    repeated = from_repeats(history, of_items, lists, again, fold_in)
    new, own = ([r.instrument_id for r in of] for of in (chosen, repeated))
    return new, [r.score for r in chosen], own


@pytest.mark.parametrize(
    "fold_in",
    [WHOLE, FoldIn(5), FoldIn(half_life_days=7), FoldIn(half_life_items=0.1), FoldIn(20, 3, 2)],
)
@pytest.mark.parametrize("seed", range(3))
def test_lists_of_histories_and_own_items_are_those_of_the_api(seed: int, fold_in: FoldIn) -> None:
    random = np.random.default_rng(seed)
    events = Split(random_events(random, 900), random_events(random, 200))
    prepared = prepare(events, WorkerRules(affinity="weighted", half_life_days=30))
    n_items = len(prepared.items)
    # Some items speak against others.
    scores = (random.random((n_items, n_items)) - 0.3) * (random.random((n_items, n_items)) < 0.3)
    np.fill_diagonal(scores, 0)
    found = from_item_lists(prepared.holdout, csr_array(scores), fold_in, 10)
    made = Made(found, neighbors=csr_array(scores), fold_in=fold_in)
    own = own_items(prepared.holdout, 10, made, by_affinity=True)
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
        assert prepared.items[lists_in(own)[place]].tolist() == expected[2]
        assert found.scores[place, : len(expected[1])] == pytest.approx(expected[1])
