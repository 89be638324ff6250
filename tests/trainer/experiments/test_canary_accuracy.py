"""Lists are measured on what users did since, as they stand in Redis."""

import math

import msgspec
import pytest

from contracts.fold_in import FoldIn
from contracts.generations import (
    DEFAULT_VARIANT,
    Canary,
    Current,
    Experiment,
    Recommendation,
    Served,
    UserList,
)
from contracts.histories import HistoryEntry
from contracts.times import DAY_MS
from contracts.variants import in_canary
from tests.trainer.experiments.behaving import put_history, put_lists, put_report
from tests.trainer.reading.wired import hashes
from tests.trainer.setup import PARTITIONS, Setup, unwatched
from trainer import telemetry
from trainer.experiments.accuracy import accuracy_of, read_accuracy
from trainer.experiments.behavior import Had, Since, split
from trainer.experiments.served_lists import Lists
from trainer.experiments.verdict import Accuracy
from trainer.reading import active
from trainer.reading.history_hashes import parse_histories

SINCE_MS = 1_000
G1, G2 = (Served(name, "cosine", "user-knn") for name in ("g1", "g2"))


def current_of(canary: Served = G2, share: float = 0.5) -> Current:
    """Return `model:current` with a canary that some of the users have since `SINCE_MS`."""
    return Current(1, {DEFAULT_VARIANT: G1}, canary=Canary(canary, share, SINCE_MS))


def accuracy(setup: Setup, current: Current, users_most: int = 1_000) -> Accuracy:
    assert current.canary is not None
    return read_accuracy(
        setup.store, setup.keys, PARTITIONS, current, current.canary, users_most, unwatched()
    )


def put_items(setup: Setup, user: str, items: dict[int, int]) -> None:
    """Write a history of items with the time of their last event."""
    put_history(setup, user, {item: HistoryEntry(1, ts_ms) for item, ts_ms in items.items()})


def test_the_generation_that_predicted_better_is_ahead(setup: Setup) -> None:
    for n in range(20):
        put_items(setup, f"u{n}", {1: 500, 2: 600, 7: 1_500})
    put_items(setup, "had nothing", {7: 1_500})
    put_items(setup, "did nothing", {1: 500})
    put_lists(setup, "g1", {1: {3: 0.9, 7: 0.5}, 2: {3: 0.1}})
    put_lists(setup, "g2", {1: {7: 0.9}, 2: {1: 0.9}})
    found = accuracy(setup, current_of())
    assert found.served.tolist() == pytest.approx([1 / math.log2(3)] * 20)
    assert found.canary.tolist() == [1] * 20


def test_of_the_latest_active_users_half_are_those_that_have_the_canary(setup: Setup) -> None:
    users = [f"u{n}" for n in range(200)]
    for n, user in enumerate(users):
        put_items(setup, user, {1: 500, n + 100: 2_000 + n})
    # Lists that know which users they are: what the last ones took, and nobody else.
    canarys = [n for n, user in enumerate(users) if in_canary(user, "g2", 0.1)]
    others = [n for n in range(200) if n not in canarys]
    latest = {n + 100: 0.5 for n in (*canarys[-5:], *others[-5:])}
    put_lists(setup, "g1", {1: latest})
    found = accuracy(setup, current_of(share=0.1), users_most=10)
    assert len(found.served) == 10
    assert (found.served > 0).all()
    assert found.on_canary.tolist() == [False] * 5 + [True] * 5
    assert found.canary.sum() == 0


def test_a_small_canary_has_fewer_users_than_half(setup: Setup) -> None:
    for n in range(60):
        put_items(setup, f"u{n}", {1: 500, 7: 2_000})
    on_canary = sum(in_canary(f"u{n}", "g2", 0.1) for n in range(60))
    found = accuracy(setup, current_of(share=0.1), users_most=40)
    assert (len(found.served), found.on_canary.sum()) == (20 + on_canary, on_canary)


def test_who_has_another_variant_is_not_asked(setup: Setup) -> None:
    put_items(setup, "u", {1: 500, 7: 2_000})
    current = current_of()
    current.variants["steep"] = Served("g3", "cosine", "user-knn")
    for weights, users in (({"default": 1.0}, 1), ({"steep": 1.0}, 0)):
        tried = msgspec.structs.replace(current, experiment=Experiment("spring", weights))
        assert len(accuracy(setup, tried).served) == users


def had(**affinities: float) -> dict[int, Had]:
    """Return items of one time, by their ids after an underscore."""
    return {int(item[1:]): Had(affinity, 0) for item, affinity in affinities.items()}


def ndcg_of(user: Since, *lists: Lists) -> list[float]:
    served, canary = lists
    found = accuracy_of({"u": user}, (), served, canary)
    return [*found.served.tolist(), *found.canary.tolist()]


def split_one(history: dict[str, str]) -> list[Since]:
    """Return what one history has, split at `SINCE_MS`."""
    return split(parse_histories(hashes(history | {"off": "[0,1]"}), range(1)), SINCE_MS)


def test_an_items_time_parts_before_from_after() -> None:
    history = {
        str(item): msgspec.json.encode(HistoryEntry(2.0, t)).decode()
        for item, t in {5: 900, 6: 1_000, 7: 1_001}.items()
    }
    assert split_one(history) == [Since({6: Had(2.0, 1_000), 5: Had(2.0, 900)}, [7])]


def test_an_item_touched_before_and_again_since_is_not_to_be_found() -> None:
    again = msgspec.json.encode(HistoryEntry(2.0, 1_001, f=400)).decode()
    once = msgspec.json.encode(HistoryEntry(1.0, 1_001)).decode()
    assert split_one({"5": again, "7": once}) == [Since({5: Had(2.0, 400)}, [7])]


def test_affinities_are_without_the_users_scale() -> None:
    (user,) = split_one({"5": msgspec.json.encode(HistoryEntry(r=3.0, t=900, s=1.5)).decode()})
    assert user.before == {5: Had(2.0, 900)}


def test_as_many_of_the_latest_items_are_folded_in_as_each_generation_wants() -> None:
    user = Since(had(_1=1, _2=1, _9=1), [7])  # latest first
    lists = {9: {7: 1.0}}
    assert ndcg_of(user, Lists(lists, FoldIn(items=2)), Lists(lists, FoldIn(items=3))) == [0, 1]


def test_items_weigh_less_by_age_if_their_generation_wants_that() -> None:
    user = Since({1: Had(1, 3 * DAY_MS), 2: Had(4, 0)}, [7])
    lists = {1: {7: 1.0}, 2: {8: 1.0}}
    second = pytest.approx(1 / math.log2(3))
    assert ndcg_of(user, Lists(lists), Lists(lists, FoldIn(half_life_days=1))) == [second, 1]


def test_the_larger_affinity_says_more() -> None:
    lists = Lists({1: {7: 0.5}, 2: {8: 0.4}})
    second = pytest.approx(1 / math.log2(3))
    assert ndcg_of(Since(had(_1=1, _2=1), [7]), lists, lists) == [1, 1]
    assert ndcg_of(Since(had(_1=1, _2=2), [7]), lists, lists) == [second, second]


def test_what_items_speak_against_is_recommended_only_if_others_outweigh_them() -> None:
    user = Since(had(_1=1, _2=1), [7])
    outweighed = Lists({1: {7: 0.5}, 2: {7: -0.4}})
    even = Lists({1: {7: 0.5}, 2: {7: -0.5}})
    assert ndcg_of(user, outweighed, even) == [1, 0]
    assert ndcg_of(user, Lists({1: {7: -0.5}}), Lists({})) == [0, 0]


def test_short_lists_go_on_with_their_generations_popular_items() -> None:
    user = Since(had(_1=1), [7])
    most = {1: 9.0, 7: 8.0, 8: 7.0}
    second = pytest.approx(1 / math.log2(3))
    lists = {1: {8: 0.5}}
    assert ndcg_of(user, Lists({}, popular=most), Lists(lists, popular=most)) == [1, second]


def test_what_a_user_had_is_no_recommendation() -> None:
    user = Since(had(_1=1, _2=1), [3])
    assert ndcg_of(user, Lists({1: {2: 0.9, 3: 0.1}}), Lists({1: {3: 0.1}})) == [1, 1]


def test_an_own_list_counts_half_unless_it_ended_with_an_event_before(setup: Setup) -> None:
    put_items(setup, "same", {1: 500, 7: 1_500})
    put_items(setup, "went on", {1: 500, 2: 800, 7: 1_500})
    for name, first in (("g1", 7), ("g2", 8)):
        put_lists(setup, name, {1: {9: 0.9, 7: 0.5}, 2: {9: 0.9}})
        put_report(setup, name, learned_until_ms=700)
        for user in ("same", "went on"):
            own = UserList("user-knn", (0, 1), [Recommendation(str(first), 0.5, [])])
            setup.store.set(setup.keys.model_user(name, user), msgspec.json.encode(own))
    found = accuracy(setup, current_of())
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    assert sorted(found.served) == pytest.approx([second, (1 + second) / 2])
    assert sorted(found.canary) == pytest.approx([(third + second) / 2, second])


def test_each_generation_is_asked_as_it_is_served(setup: Setup) -> None:
    put_items(setup, "u", {1: 500, 2: 600, 7: 1_500})
    for name in ("g1", "g2"):
        put_lists(setup, name, {1: {7: 0.9}, 2: {8: 0.1}})
    latest_only = Served("g2", "cosine", "user-knn", FoldIn(items=1))
    found = accuracy(setup, current_of(latest_only))
    assert (found.served.tolist(), found.canary.tolist()) == ([1], [0])


@pytest.mark.parametrize(
    "entry", ['{"r":1,"t":500,"s":0}', '{"r":1,"t":99999999999999999999}', "[]", "x"]
)
def test_a_history_that_cannot_be_read_is_left_out_and_counted(setup: Setup, entry: str) -> None:
    for user in ("u", "v"):
        put_items(setup, user, {1: 500, 7: 2_000})
    setup.store.hset(setup.history_key("v"), "2", entry)
    put_lists(setup, "g1", {1: {7: 0.5}})
    assert accuracy(setup, current_of()).served.tolist() == [1]
    assert telemetry.CORRUPT_VALUES._value.get() == 1


def test_a_user_whose_history_is_something_else_is_left_out(setup: Setup) -> None:
    for user in ("u", "v"):
        put_items(setup, user, {1: 500, 7: 2_000})
    setup.store.delete(key := setup.history_key("v"))
    setup.store.set(key, "no hash")
    assert len(accuracy(setup, current_of()).served) == 1


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"model":"cosine","items":[{"item":"x","score":1,"support":1}]}',
        b'{"model":"cosine","items":[{"item":"99999999999999999999","score":1,"support":1}]}',
    ],
)
def test_a_list_that_cannot_be_read_is_missing(setup: Setup, stored: bytes) -> None:
    put_items(setup, "u", {1: 500, 2: 600, 7: 1_500})
    for name in ("g1", "g2"):
        put_lists(setup, name, {1: {7: 0.9}, 2: {7: 0.1}})
    setup.store.set(setup.keys.model_similar("g1", "1"), stored)
    setup.store.set(setup.keys.model_similar("g2", "2"), stored)
    found = accuracy(setup, current_of())
    assert (found.served.tolist(), found.canary.tolist()) == ([1], [1])


def test_who_was_active_is_asked_page_by_page_until_both_groups_have_enough(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active, "_USERS_PER_PAGE", 10)
    for n in range(300):
        put_items(setup, f"u{n}", {1: 500, 7: 2_000 + n})
    asked = []
    zrevrange = setup.store.zrevrange

    def counted(key: str, start: int, stop: int, *, withscores: bool) -> object:
        asked.append(stop + 1 - start)
        return zrevrange(key, start, stop, withscores=withscores)

    monkeypatch.setattr(setup.store, "zrevrange", counted)
    found = accuracy(setup, current_of(), users_most=10)
    assert (len(found.served), found.on_canary.sum()) == (10, 5)
    assert set(asked) == {10}
    assert sum(asked) < 100


def test_nobody_is_no_user(setup: Setup) -> None:
    found = accuracy(setup, current_of())
    assert len(found.served) == len(found.canary) == 0
