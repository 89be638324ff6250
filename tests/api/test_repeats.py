"""What a user has and may take again: by how often, how lately and how well it fits. Pure."""

from collections.abc import Mapping

import msgspec
import pytest

from api.recommendations.choosing import Chosen, Wish, from_repeats
from api.recommendations.lists import GenerationLists
from contracts.affinities import HistoryEntry
from contracts.fold_in import REPEAT_HALF_LIFE_DAYS, FoldIn
from contracts.generations import Neighbor, SimilarList
from contracts.times import DAY_MS

from .all_but import AllBut

ALL = Wish(10, frozenset(), repeats=10)
HALF_LIFE_MS = round(REPEAT_HALF_LIFE_DAYS * DAY_MS)


def repeats(
    history: Mapping[int, HistoryEntry],
    similar: Mapping[int, Mapping[int, float]],
    wish: Wish = ALL,
) -> Chosen:
    lists, rows = GenerationLists(), {}
    for item in history:
        neighbors = [Neighbor(str(j), score, 1) for j, score in similar.get(item, {}).items()]
        value = msgspec.json.encode(SimilarList("cosine", neighbors))
        rows[item] = lists.add(item, value)
    found = from_repeats(history, rows, lists, wish, FoldIn())
    assert not lists.sums().any()
    return found


def scores(chosen: Chosen) -> list[tuple[int, float]]:
    return [(item.instrument_id, item.score) for item in chosen.items]


def test_without_lists_it_is_how_often_halved_with_each_half_life() -> None:
    history = {
        1: HistoryEntry(2, 2 * HALF_LIFE_MS),
        2: HistoryEntry(8, 0),
        3: HistoryEntry(4, 2 * HALF_LIFE_MS, s=4),  # the user's scale does not count
        4: HistoryEntry(4, HALF_LIFE_MS),
    }
    found = repeats(history, {})
    assert found.source == "repeat"
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
