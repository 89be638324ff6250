"""Choosing instruments for a user."""

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lists import GenerationLists, Lists
from api.recommend import (
    FOLDED_IN_ITEMS,
    REASONS,
    Wish,
    first_neighbors,
    from_history,
    from_own_list,
    from_popular,
    history_answer,
    history_of,
    latest_items,
    offset_of,
    similar_items,
)
from contracts.keyspace import (
    HistoryEntry,
    Neighbor,
    Popular,
    PopularList,
    Recommendation,
    SimilarList,
    UserList,
)

ALL = Wish(100, frozenset(), include_seen=False)
ids = st.integers(0, 30)
limits = st.integers(1, 10)
histories = st.dictionaries(
    ids, st.builds(HistoryEntry, st.floats(0.1, 9), st.integers(0, 5)), min_size=1, max_size=20
)
lists = st.dictionaries(
    ids,
    st.lists(
        st.builds(Neighbor, ids.map(str), st.floats(0, 1), st.just(1.0)),
        unique_by=lambda neighbor: neighbor.item,
    ).map(lambda items: SimilarList("cosine", items)),
)


def read(
    similar: Mapping[int, SimilarList], history: Mapping[int, HistoryEntry]
) -> GenerationLists:
    """Return lists of which those of a history were read."""
    found = GenerationLists()
    for item in history:
        found.add(item, msgspec.json.encode(similar[item]) if item in similar else None)
    return found


@given(
    history=histories,
    similar=lists,
    include_seen=st.booleans(),
    excluded=st.sets(ids),
    n=st.integers(1, 10),
)
def test_folding_in_is_the_affinity_weighted_mean_of_the_rows(
    history: dict[int, HistoryEntry],
    similar: dict[int, SimilarList],
    *,
    include_seen: bool,
    excluded: set[int],
    n: int,
) -> None:
    sim = np.zeros((31, 31))
    for item, own in similar.items():
        for neighbor in own.items:
            sim[item, int(neighbor.item)] = neighbor.score
    r = np.zeros(31)
    for item, entry in history.items():
        r[item] = entry.r
    expected = r @ sim / r.sum()

    chosen = from_history(
        history, read(similar, history), Wish(n, frozenset(excluded), include_seen)
    )

    assert chosen.source == "history"
    for item in chosen.items:
        assert item.score == pytest.approx(expected[item.instrument_id], rel=1e-12)
    scores = [item.score for item in chosen.items]
    assert scores == sorted(scores, reverse=True)
    names = {item.instrument_id for item in chosen.items}
    assert not names & excluded
    assert include_seen or not names & history.keys()
    known = history.keys() & similar.keys()
    possible = {int(k.item) for item in known for k in similar[item].items}
    possible -= excluded if include_seen else excluded | history.keys()
    assert len(names) == min(n, len(possible))
    left = possible - names
    assert not left or max(expected[i] for i in left) <= min(scores) + 1e-12


def test_reasons_are_the_items_with_the_largest_shares() -> None:
    history = {i: HistoryEntry(r=i + 1, t=0) for i in range(5)}
    similar = {item: SimilarList("cosine", [Neighbor("9", 0.5, 1)]) for item in history}
    (item,) = from_history(history, read(similar, history), ALL).items
    assert item.because == [4, 3, 2]
    assert len(item.because) == REASONS
    assert item.score == pytest.approx(0.5)


def test_only_the_latest_items_are_folded_in() -> None:
    history = {t: HistoryEntry(1, t) for t in range(FOLDED_IN_ITEMS + 1)}
    similar = {
        0: SimilarList("cosine", [Neighbor("900", 1, 1)]),
        1: SimilarList("cosine", [Neighbor("901", 1, 1)]),
    }
    chosen = from_history(history, read(similar, history), ALL)
    assert [i.instrument_id for i in chosen.items] == [901]


def test_equal_scores_are_ordered_by_the_smaller_id() -> None:
    similar = {1: SimilarList("cosine", [Neighbor(i, 0.5, 1) for i in ("20", "3", "10")])}
    history = {1: HistoryEntry(1, 0)}
    chosen = from_history(history, read(similar, history), ALL)
    assert [i.instrument_id for i in chosen.items] == [3, 10, 20]


def test_an_own_list_is_cut_after_leaving_out_what_is_excluded() -> None:
    own = UserList("user-knn", (0, 1), [Recommendation(i, 1, ["7"]) for i in ("1", "2", "3")])
    chosen = from_own_list(own, Wish(1, frozenset({1}), include_seen=False))
    assert (chosen.source, chosen.model) == ("model", "user-knn")
    assert [(i.instrument_id, i.because) for i in chosen.items] == [(2, [7])]


@pytest.mark.parametrize(("include_seen", "expected"), [(False, [3]), (True, [1, 3])])
def test_popular_items_that_were_seen_are_left_out_unless_wished_for(
    *, include_seen: bool, expected: list[int]
) -> None:
    popular = PopularList("popular", [Popular(i, 9) for i in ("1", "2", "3")])
    chosen = from_popular(popular, {1}, Wish(5, frozenset({2}), include_seen))
    assert [i.instrument_id for i in chosen.items] == expected
    assert all(i.because == [] for i in chosen.items)


@given(histories)
def test_a_history_is_told_latest_first(history: dict[int, HistoryEntry]) -> None:
    told = history_answer("ABC", history).items
    assert {h.instrument_id: (h.affinity, h.last_event_ts) for h in told} == {
        item: (entry.r, entry.t) for item, entry in history.items()
    }
    order = [(-h.last_event_ts, h.instrument_id) for h in told]
    assert order == sorted(order)
    assert latest_items(history, 1) == [told[0].instrument_id]


def test_a_history_s_offset_is_no_item() -> None:
    entry = msgspec.json.encode(HistoryEntry(1, 2))
    flat = [b"4", entry, b"off", b"[1,7]"]
    assert (history_of(flat), offset_of(flat)) == ({4: HistoryEntry(1, 2)}, b"[1,7]")
    assert (history_of([]), offset_of([])) == ({}, None)


@given(own=st.lists(st.builds(Neighbor, ids.map(str), st.floats(0, 1), st.floats(0, 9))), n=limits)
def test_the_first_neighbors_of_a_list_are_those_of_the_whole(own: list[Neighbor], n: int) -> None:
    value = msgspec.json.encode(SimilarList("cosine", own))
    assert first_neighbors(value, n).items[:n] == own[:n]
    assert first_neighbors(value, n).model == "cosine"


def test_a_list_that_somebody_else_wrote_is_read_as_well() -> None:
    value = b"""{"items": [{"support": 2, "item": "5", "score": 0.5}, {"item": "6", "score": 0.4,
        "support": 1}, {"item": "7", "score": 0.3, "support": 1}], "model": "theirs"}"""
    assert [i.item for i in first_neighbors(value, 2).items[:2]] == ["5", "6"]
    assert first_neighbors(value, 2).model == "theirs"


def test_neighbors_keep_their_order_and_are_cut() -> None:
    own = SimilarList("cosine", [Neighbor("5", 0.9, 3), Neighbor("0", 0.4, 2)])
    assert [(i.instrument_id, i.score, i.support) for i in similar_items(own, 1)] == [(5, 0.9, 3)]


def test_rows_are_kept_within_bounds_those_asked_for_last_for_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.lists.ROWS_KEPT", 3)
    found = GenerationLists()
    value = msgspec.json.encode(SimilarList("cosine", [Neighbor("9", 0.5, 1)]))
    for item in range(20):
        found.add(item, value)
        assert not found.missing([0])  # is asked for all the time
    kept = [item for item in range(20) if not found.missing([item])]
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


def test_one_generation_s_sums_leave_nothing_behind() -> None:
    history = {1: HistoryEntry(1, 0)}
    lists = read(
        {1: SimilarList("cosine", [Neighbor("2", 0.5, 1), Neighbor("1", 0.9, 1)])}, history
    )
    first, second = (from_history(history, lists, ALL).items for _ in range(2))
    assert first == second
    assert not lists.sums().any()
