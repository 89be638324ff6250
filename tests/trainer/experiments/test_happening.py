"""A run judges what was served by what users newly took since, and shows that."""

import json

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from contracts.figures import Happened
from contracts.generations import PopularList, SimilarList, UserList
from tests.trainer.setup import PARTITIONS, Affinities, Setup, unwatched
from trainer.experiments.happening import read_happened
from trainer.generations.publication import read_current

LATER_MS = 5_000
NEW = 3
"""Items that a user newly takes."""


@pytest.fixture
def kinds(setup: Setup) -> Affinities:
    """Half of the users have most of the even items, half most of the odd ones."""
    random = np.random.default_rng(0)
    same = np.arange(80)[:, np.newaxis] % 2 == np.arange(30) % 2
    return setup.fill((random.random((80, 30)) < np.where(same, 0.5, 0.02)) * 1.0)


def takes(setup: Setup, user: str, *items: int, at_ms: int = LATER_MS) -> None:
    """Let a user take items, again or for the first time, after everything else."""
    key = setup.history_key(user)
    for item in items:
        had = setup.store.hget(key, str(item))
        first = {"f": json.loads(str(had))["t"]} if had else {}
        setup.store.hset(key, str(item), json.dumps({"r": 1, "t": at_ms} | first))
    setup.store.hset(key, "off", "[0,99]")
    setup.store.zadd(setup.active_key(user), {user: at_ms})
    setup.something_happens()


def unseen_of_kind(kinds: Affinities, user: int) -> list[int]:
    """Return items of a user's kind that the user does not have."""
    return [100 + i for i in range(30) if i % 2 == user % 2 and not kinds[user, i]][:NEW]


def happened(setup: Setup) -> Happened:
    found = setup.report().happened
    assert found is not None
    return found


def gain(items: list[int], wanted: list[int]) -> float:
    """Return nDCG@10."""
    discounts = 1 / np.log2(np.arange(2, 12))
    hits = [item in wanted for item in items[:10]]
    return float((discounts[: len(hits)] * hits).sum() / discounts[: len(wanted)].sum())


@pytest.mark.parametrize("user_model", ["none", "user-knn"])
def test_users_are_judged_by_the_lists_that_they_were_served(
    setup: Setup, kinds: Affinities, user_model: str
) -> None:
    assert setup.run(user_model=user_model) == "trained"
    generation = setup.served().generation
    assert setup.report().happened is None
    expected, of_all = [], []
    for user in range(0, 80, 3):
        had = [100 + int(i) for i in np.flatnonzero(kinds[user])]
        wanted = unseen_of_kind(kinds, user)
        scores: dict[int, float] = {}
        if user_model == "none":
            for item in had:
                key = setup.keys.model_similar(generation, str(item))
                for neighbor in setup.read(key, SimilarList).items:
                    j = int(neighbor.item)
                    scores[j] = scores.get(j, 0) + neighbor.score
        else:
            own = setup.read(setup.keys.model_user(generation, f"u{user}"), UserList)
            scores = {int(item.item): item.score for item in own.items}
        popular = setup.read(setup.keys.model_popular(generation), PopularList)
        ranked = sorted(scores, key=lambda item: (-round(scores[item], 9), item))
        expected.append(gain([item for item in ranked if item not in had], wanted))
        all_items = [int(item.item) for item in popular.items]
        of_all.append(gain([item for item in all_items if item not in had], wanted))
        takes(setup, f"u{user}", *wanted)
    assert setup.run(user_model=user_model) == "trained"
    found = happened(setup)
    assert found.users == len(expected)
    assert found.ndcg.mean == pytest.approx(np.mean(expected), abs=0.02)
    assert found.popular.mean == pytest.approx(np.mean(of_all), abs=0.02)
    assert found.lead.mean == pytest.approx(found.ndcg.mean - found.popular.mean, abs=1e-5)


def test_repeats_and_erased_users_are_not_judged(setup: Setup, kinds: Affinities) -> None:
    assert setup.run() == "trained"
    for user in range(6):
        takes(setup, f"u{user}", *unseen_of_kind(kinds, user))
    again = [100 + int(i) for i in np.flatnonzero(kinds[6])]
    takes(setup, "u6", *again)
    setup.store.delete(setup.history_key("u0"))
    assert setup.run() == "trained"
    assert happened(setup).users == 5


def test_few_users_add_up_over_generations(setup: Setup, kinds: Affinities) -> None:
    assert setup.run() == "trained"
    takes(setup, "u0", *unseen_of_kind(kinds, 0))
    assert setup.run() == "trained"
    assert happened(setup).users == 1
    takes(setup, "u2", *unseen_of_kind(kinds, 2), at_ms=2 * LATER_MS)
    assert setup.run() == "trained"
    assert happened(setup).users == 2
    setup.something_happens()
    assert setup.run() == "trained"
    assert happened(setup).users == 2


def test_what_was_predicted_of_the_lists_stands_beside_what_happened(
    setup: Setup, kinds: Affinities
) -> None:
    assert setup.run() == "trained"
    predicted = setup.report().held_out
    assert predicted is not None
    for user in range(30):
        takes(setup, f"u{user}", *unseen_of_kind(kinds, user))
    assert setup.run() == "trained"
    found, figures = happened(setup), setup.decisions()[0].figures
    assert found.predicted == figures["served_predicted"] == predicted.ndcg
    assert (figures["served_ndcg"], figures["served_users"]) == (found.ndcg.mean, 30)
    for measure in ("ndcg", "popular"):
        labels = {"variant": "default", "measure": measure}
        shown = REGISTRY.get_sample_value("trainer_happened", labels)
        assert shown == getattr(found, measure).mean


def test_of_what_is_not_served_any_more_nothing_is_said(setup: Setup, kinds: Affinities) -> None:
    assert setup.run() == "trained"
    replaced = setup.report()
    takes(setup, "u0", *unseen_of_kind(kinds, 0))
    assert setup.run() == "trained"
    current = read_current(setup.store, setup.keys)
    assert current is not None
    of = setup.store, setup.keys, PARTITIONS
    assert read_happened(*of, current, replaced, unwatched()) is None
    takes(setup, "u0", *unseen_of_kind(kinds, 0)[:1], at_ms=2 * LATER_MS)
    gone = msgspec.structs.replace(setup.report(), variant="gone")
    assert read_happened(*of, current, gone, unwatched()) is None
