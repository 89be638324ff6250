"""Choosing instruments for a user: by history, an own list, popularity, and to be taken again."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.instruments.popular import Ranked
from api.instruments.reading import first_neighbors
from api.recommendations.answers import Recommended
from api.recommendations.bodies import MAX_ITEMS, WeightedItem, history_of_items
from api.recommendations.choosing import (
    Wish,
    folded_items,
    from_history,
    from_own_list,
    from_popular,
    from_repeats,
)
from api.recommendations.fold import _TABLE_MOST, REASONS
from api.recommendations.lists import GenerationLists, Lists, _bytes_of
from api.users.history import history_answer, latest_items, rejected_in
from contracts.affinities import HistoryEntry
from contracts.fold_in import REPEAT_HALF_LIFE_DAYS, FoldIn
from contracts.generations import (
    Neighbor,
    Popular,
    PopularList,
    Recommendation,
    SimilarList,
    UserList,
)
from contracts.times import DAY_MS

from .reading import AllBut

ALL = Wish(100, frozenset())
ALL_ALIKE = FoldIn()
LARGE = (_TABLE_MOST - 1, _TABLE_MOST, 5_000_000, 2**53 + 1, 2**63 - 1)
ids = st.integers(0, 30) | st.sampled_from(LARGE)
limits = st.integers(1, 10)
similarities = st.floats(-1, 1, allow_subnormal=False)
affinities = st.floats(0.1, 9) | st.floats(0.1, 9) | st.just(0) | st.floats(-9, -0.1)
histories = st.dictionaries(
    ids,
    st.builds(HistoryEntry, affinities, st.integers(0, 5 * DAY_MS), st.floats(0.5, 2)),
    min_size=1,
    max_size=20,
)
lists = st.dictionaries(
    ids,
    st.lists(
        st.builds(Neighbor, ids.map(str), similarities, st.just(1.0)),
        unique_by=lambda neighbor: neighbor.item,
    ).map(lambda items: SimilarList("ease", sorted(items, key=lambda one: -one.score))),
)
half_lives = st.sampled_from([0, 0.5, 3])
foldings = st.builds(FoldIn, st.integers(1, 20), half_lives, half_lives)


def recommended(
    similar: Mapping[int, SimilarList],
    history: Mapping[int, HistoryEntry],
    wish: Wish = ALL,
    fold_in: FoldIn = ALL_ALIKE,
    read: GenerationLists | None = None,
) -> list[Recommended]:
    """Choose from a history, after reading the lists that it needs."""
    found = read or GenerationLists()
    rows = {
        item: found.add(item, msgspec.json.encode(similar[item]) if item in similar else None)
        for item in folded_items(history, fold_in)
    }
    chosen = from_history(history, rows, found, wish, fold_in)
    assert not found.sums().any(), "what the next one adds to"
    return chosen


def plain_scores(
    similar: Mapping[int, SimilarList], history: Mapping[int, HistoryEntry], fold_in: FoldIn
) -> dict[int, float]:
    """Return the score of each item in some list by the formula of `contracts.fold_in`, plainly."""
    known = [item for item, entry in history.items() if entry.r]
    latest = sorted(known, key=lambda item: (-history[item].t, item))[: fold_in.items]
    newest = max((history[item].t for item in latest), default=0)
    weights = {}
    for position, item in enumerate(latest):
        entry, age_days = history[item], (newest - history[item].t) / DAY_MS
        aged = 0.5 ** (age_days / fold_in.half_life_days) if fold_in.half_life_days else 1
        placed = 0.5 ** (position / fold_in.half_life_items) if fold_in.half_life_items else 1
        weights[item] = entry.r / entry.s * aged * placed
    scores: dict[int, float] = defaultdict(float)
    for item in set(latest) & similar.keys():
        for neighbor in similar[item].items:
            total = sum(map(abs, weights.values()))
            scores[int(neighbor.item)] += weights[item] * neighbor.score / total
    return scores


@given(
    history=histories,
    similar=lists,
    fold_in=foldings,
    repeats=st.sampled_from([0, 10]),
    excluded=st.sets(ids),
    n=limits,
    others=st.sampled_from([0, 10_000]),
)
def test_folding_in_is_the_weighted_mean_of_the_lists_above_zero(
    history: dict[int, HistoryEntry],
    similar: dict[int, SimilarList],
    *,
    fold_in: FoldIn,
    repeats: int,
    excluded: set[int],
    n: int,
    others: int,
) -> None:
    expected = plain_scores(similar, history, fold_in)
    wish, read = Wish(n, frozenset(excluded), repeats), GenerationLists()
    read.places.of_all(range(100, 100 + others))  # items of other users' lists
    chosen = recommended(similar, history, wish, fold_in, read)

    for item in chosen:
        assert item.score == pytest.approx(expected[item.instrument_id], rel=1e-9, abs=1e-12)
        assert item.score > 0
    order = [(-item.score, item.instrument_id) for item in chosen]
    assert order == sorted(order)
    names = {item.instrument_id for item in chosen}
    never = {item for item, entry in history.items() if entry.r <= 0}
    left_out = excluded | (never if repeats else history.keys())
    assert not names & left_out
    possible = {item for item, score in expected.items() if score > 1e-12} - left_out
    assert len(names) >= min(n, len(possible))
    least = min((item.score for item in chosen), default=0)
    assert all(expected[item] <= least + 1e-12 for item in possible - names)


@given(
    history=histories,
    similar=lists,
    fold_in=foldings,
    excluded=st.sets(ids),
    hidden=st.sets(ids),
    n=limits,
)
def test_what_may_not_be_shown_is_left_out_as_if_it_were_excluded(
    history: dict[int, HistoryEntry],
    similar: dict[int, SimilarList],
    *,
    fold_in: FoldIn,
    excluded: set[int],
    hidden: set[int],
    n: int,
) -> None:
    filtered = Wish(n, frozenset(excluded), repeats=100, shown=AllBut(hidden))
    plain = Wish(n, frozenset(excluded | hidden), repeats=100)
    asked = (similar, history)
    assert recommended(*asked, filtered, fold_in) == recommended(*asked, plain, fold_in)
    own = UserList("user-knn", (0, 1), [Recommendation(str(i), 1, ["7"]) for i in history])
    assert from_own_list(own, filtered) == from_own_list(own, plain)
    popular = popular_of([*history])
    assert from_popular(popular, {}, filtered) == from_popular(popular, {}, plain)


@pytest.mark.parametrize("every", [1_000, 3])
def test_the_best_that_may_be_shown_are_found_however_many_may_not(every: int) -> None:
    neighbors = [Neighbor(str(item), 1 / item, 1) for item in range(1, 2_001)]
    similar = {0: SimilarList("cosine", neighbors)}
    hidden = {item for item in range(2_001) if item % every}
    wish = Wish(2, frozenset(), shown=AllBut(hidden))
    found = recommended(similar, {0: HistoryEntry(1, 0)}, wish)
    assert [item.instrument_id for item in found] == [every, 2 * every]


@given(history=histories, similar=lists, fold_in=foldings)
def test_reasons_are_the_items_with_the_largest_shares_above_zero(
    history: dict[int, HistoryEntry], similar: dict[int, SimilarList], fold_in: FoldIn
) -> None:
    for item in recommended(similar, history, ALL, fold_in):
        shares = {
            reason: plain_scores({reason: similar[reason]}, history, fold_in)[item.instrument_id]
            for reason in folded_items(history, fold_in)
            if reason in similar
        }
        speaking = [reason for reason, share in shares.items() if share > 0]
        least = min(shares[reason] for reason in item.because)
        assert 1 <= len(item.because) == min(REASONS, len(speaking))
        assert set(item.because) <= set(speaking)
        others = [shares[reason] for reason in speaking if reason not in item.because]
        assert max(others, default=0) <= least * (1 + 1e-12)


def test_reasons_come_in_the_order_of_their_shares_and_equal_ones_by_the_smaller_id() -> None:
    history = {item: HistoryEntry(r, 0) for item, r in ((7, 2), (8, 3), (5, 2), (6, 2))}
    neighbors = [Neighbor("9", 0.5, 1), Neighbor("4", 4e-13, 1)]  # which rounds to 0
    similar = {item: SimilarList("cosine", neighbors) for item in history}
    (found,) = recommended(similar, history)
    assert found.because == [8, 5, 6]
    assert found.score == 0.5


@pytest.mark.parametrize(("n", "expected"), [(1, [3]), (2, [3, 10])])
def test_scores_that_differ_by_the_order_of_adding_are_equal(n: int, expected: list[int]) -> None:
    assert 0.1 + 0.2 + 0.3 > 0.3 + 0.2 + 0.1
    columns = {"20": (0.1, 0.2, 0.3), "3": (0.3, 0.2, 0.1), "10": (0.2, 0.3, 0.1)}
    history = {item: HistoryEntry(1, 0) for item in range(3)}
    similar = {
        row: SimilarList("cosine", [Neighbor(item, of[row], 1) for item, of in columns.items()])
        for row in history
    }
    found = recommended(similar, history, Wish(n, frozenset(), repeats=100))
    assert [(item.instrument_id, item.score) for item in found] == [(i, 0.2) for i in expected]


def popular_of(items: Sequence[int]) -> Ranked:
    popular = [Popular(str(item), 9, 9) for item in items]
    return Ranked.decode(msgspec.json.encode(PopularList("popular", popular)))


@given(ranked=st.lists(ids, unique=True), hidden=st.sets(ids), left_out=st.sets(ids), n=limits)
def test_the_most_popular_that_may_be_shown_are_found_however_far_behind(
    ranked: list[int], hidden: set[int], left_out: set[int], n: int
) -> None:
    far_behind = [*range(1_000, 1_300), *ranked]
    expected = [item for item in ranked if item not in hidden | left_out][:n]
    not_shown = AllBut(hidden | {*range(1_000, 1_300)})
    found = islice(popular_of(far_behind).shown(left_out, not_shown), n)
    assert [item for item, _ in found] == expected


@given(histories)
def test_a_history_is_shown_latest_first(history: dict[int, HistoryEntry]) -> None:
    shown = history_answer("ABC", history).items
    assert {h.instrument_id: (h.affinity, h.last_event_ts) for h in shown} == {
        item: (entry.r, entry.t) for item, entry in history.items()
    }
    order = [(-h.last_event_ts, h.instrument_id) for h in shown]
    assert order == sorted(order)
    assert latest_items(history, 1) == [shown[0].instrument_id]


@given(histories)
def test_rejected_items_are_found_without_parsing_histories_that_have_none(
    history: dict[int, HistoryEntry],
) -> None:
    flat = [b"off", b"[1,7]"]
    for item, entry in history.items():
        flat += [b"%d" % item, msgspec.json.encode(entry)]
    assert rejected_in(flat) == [item for item, entry in history.items() if entry.r <= 0]


def test_a_list_that_somebody_else_wrote_is_read_as_well() -> None:
    value = b"""{"items": [{"support": 2, "item": "5", "score": 0.5}, {"item": "6", "score": 0.4,
        "support": 1}, {"item": "7", "score": 0.3, "support": 1}], "model": "theirs"}"""
    assert [i.item for i in first_neighbors(value, 2).items[:2]] == ["5", "6"]
    assert first_neighbors(value, 2).model == "theirs"


@given(
    st.lists(
        st.builds(WeightedItem, st.integers(0, 9), st.integers(1, 9).map(float)),
        min_size=1,
        max_size=20,
    )
)
def test_weights_of_a_basket_are_added_and_the_first_named_are_the_most_recent(
    basket: list[WeightedItem],
) -> None:
    history = history_of_items(basket)
    for item, entry in history.items():
        assert entry.r == sum(one.weight for one in basket if one.instrument_id == item)
    in_order = sorted(history, key=lambda item: -history[item].t)
    assert in_order == list(dict.fromkeys(one.instrument_id for one in basket))


def test_a_longest_basket_is_of_one_age() -> None:
    history = history_of_items([WeightedItem(item) for item in range(MAX_ITEMS)])
    assert max(-entry.t for entry in history.values()) < DAY_MS / 100_000


def test_rows_are_kept_within_bounds_those_asked_for_last_for_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = msgspec.json.encode(SimilarList("cosine", [Neighbor("9", 0.5, 1)]))
    monkeypatch.setattr(
        "api.recommendations.lists.ROWS_BYTES", 3 * _bytes_of(GenerationLists().add(0, value))
    )
    found = GenerationLists()
    for item in range(20):
        found.add(item, value)
        assert found.row(0) is not None  # is asked for all the time
    kept = [item for item in range(20) if found.row(item) is not None]
    assert {17, 18, 19} <= set(kept)
    assert len(kept) <= 2 * 3


def test_lists_are_kept_of_each_generation_that_is_served_and_of_no_other() -> None:
    lists = Lists()
    served = [f"g{number}" for number in range(9)]
    kept = [lists.of(name, served) for name in served]
    assert all(lists.of(name, served) is one for name, one in zip(served, kept, strict=True))
    late = lists.of("gone", served)  # by a read that began before
    assert lists.of("gone", served) is late
    lists.of("new", [*served[1:], "new"])
    assert lists.of("g1", []) is kept[1]
    assert lists.of("g0", []) is not kept[0]
    assert lists.of("gone", []) is not late


REPEATS = Wish(10, frozenset(), repeats=10)
HALF_LIFE_MS = round(REPEAT_HALF_LIFE_DAYS * DAY_MS)


def repeats(
    history: Mapping[int, HistoryEntry],
    similar: Mapping[int, Mapping[int, float]],
    wish: Wish = REPEATS,
) -> list[Recommended]:
    lists, rows = GenerationLists(), {}
    for item in history:
        neighbors = [Neighbor(str(j), score, 1) for j, score in similar.get(item, {}).items()]
        value = msgspec.json.encode(SimilarList("cosine", neighbors))
        rows[item] = lists.add(item, value)
    found = from_repeats(history, rows, lists, wish, FoldIn())
    assert not lists.sums().any()
    return found


def scores(chosen: list[Recommended]) -> list[tuple[int, float]]:
    return [(item.instrument_id, item.score) for item in chosen]


def test_without_lists_it_is_how_often_halved_with_each_half_life() -> None:
    history = {
        1: HistoryEntry(2, 2 * HALF_LIFE_MS),
        2: HistoryEntry(8, 0),
        3: HistoryEntry(4, 2 * HALF_LIFE_MS, s=4),  # the user's scale does not count
        4: HistoryEntry(4, HALF_LIFE_MS),
    }
    found = repeats(history, {})
    assert scores(found) == [(1, 0.25), (2, 0.25), (4, 0.25), (3, 0.125)]


def test_what_fits_the_rest_of_the_history_comes_first_and_nothing_is_lost() -> None:
    history = {item: HistoryEntry(1, 0) for item in (1, 2, 3, 4)}
    similar = {1: {2: 0.8, 9: 0.9, 4: -0.5}, 2: {1: 0.4}, 3: {2: 0.4}}
    # Fits: .1 of item 1, .3 of 2, none of 3, and evidence against 4 counts as none; the mean is .1.
    expected = [(2, pytest.approx(0.4)), (1, pytest.approx(0.2))]
    assert scores(repeats(history, similar)) == [
        *expected,
        *((3, pytest.approx(0.1)), (4, pytest.approx(0.1))),
    ]


def test_only_what_may_be_shown_is_and_nothing_of_nothing() -> None:
    history = {item: HistoryEntry(1, 0) for item in range(1, 6)}
    wish = Wish(2, frozenset({1}), repeats=10, shown=AllBut({2}))
    assert [item for item, _ in scores(repeats(history, {}, wish))] == [3, 4]
    assert scores(repeats({}, {})) == []
    rejected = {1: HistoryEntry(0, 0), 2: HistoryEntry(-5, 9)}
    assert scores(repeats(rejected, {})) == []
    assert scores(repeats({**rejected, 3: HistoryEntry(2, 4)}, {})) == [(3, 1)]
