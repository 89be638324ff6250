"""What events change in G adds up to the Gram matrix of the histories, whatever the events are."""

import copy
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from contracts.messages import EVENT_TYPES
from stream_processors.histories import agent
from stream_processors.histories.affinities import Affinity, binary, weighted
from stream_processors.histories.fold import Change, History, fold_event, rows_of

N_ITEMS = 6
NO_CAP = 500
START_MS = 1_600_000_000_000
DAY_MS = 86_400_000


class Event(NamedTuple):
    """At its place in a list stands its offset."""

    user: int
    item: int
    event: int
    ts_ms: int


logs = st.lists(
    st.builds(
        Event,
        st.integers(0, 1),
        st.integers(0, N_ITEMS - 1),
        st.integers(0, len(EVENT_TYPES) - 1),
        st.integers(0, 40).map(lambda day: START_MS + day * DAY_MS),
    ),
    min_size=1,
    max_size=40,
)
caps = st.sampled_from([1, 2, 3, NO_CAP])
rules = st.sampled_from([binary, weighted(14.0), weighted(60.0)])

Matrix = npt.NDArray[np.float64]


def fold(
    log: list[Event],
    rule: Affinity,
    cap: int,
    first: int = 0,
    histories: dict[int, History] | None = None,
) -> tuple[dict[int, History], list[Change]]:
    histories = defaultdict(History) if histories is None else histories
    changes: list[Change] = []
    for offset, event in enumerate(log, start=first):
        history = histories[event.user]
        increase = rule(affinity_of(history, event.item), event.event, event.ts_ms)
        changes += fold_event(history, offset, event.item, increase, event.ts_ms, cap)
    return histories, changes


def affinity_of(history: History, item: int) -> float:
    place = history.place_of.get(item)
    return 0.0 if place is None else float(history.affinity[place])


def user_items(histories: dict[int, History]) -> Matrix:
    """Affinities, (n_users, n_items)."""
    return np.array([[affinity_of(h, item) for item in range(N_ITEMS)] for h in histories.values()])


def gram_of(changes: list[Change]) -> Matrix:
    gram = np.zeros((N_ITEMS, N_ITEMS))
    if changes:
        rows = rows_of(changes)
        np.add.at(gram, (rows.i, rows.j), rows.delta)
    return gram


@given(log=logs, cap=caps)
def test_binary_changes_add_up_to_the_gram_matrix_to_the_last_count(
    log: list[Event], cap: int
) -> None:
    histories, changes = fold(log, binary, cap)
    r = user_items(histories)
    assert gram_of(changes).tolist() == (r.T @ r).tolist()


@given(log=logs, cap=caps, half_life=st.floats(14, 400))
def test_weighted_changes_add_up_to_the_gram_matrix(
    log: list[Event], cap: int, half_life: float
) -> None:
    histories, changes = fold(log, weighted(half_life), cap)
    r = user_items(histories)
    scale = max((abs(change.diagonal) for change in changes), default=0)
    np.testing.assert_allclose(gram_of(changes), r.T @ r, rtol=1e-9, atol=1e-9 * scale)


@given(log=logs)
def test_binary_similarities_are_scikit_learns_of_the_log(log: list[Event]) -> None:
    r = np.zeros((2, N_ITEMS))
    for event in log:
        r[event.user, event.item] = 1
    assert_same_similarities(gram_of(fold(log, binary, NO_CAP)[1]), r)


@given(log=logs, half_life=st.floats(14, 400))
def test_weighted_similarities_are_scikit_learns_of_the_log_decayed_at_its_end(
    log: list[Event], half_life: float
) -> None:
    weights = {"view": 1, "click": 2, "watch": 3, "trade": 5}
    r = np.zeros((2, N_ITEMS))
    for event in log:
        age_days = 40 - (event.ts_ms - START_MS) / DAY_MS
        r[event.user, event.item] += weights[EVENT_TYPES[event.event]] * 0.5 ** (
            age_days / half_life
        )
    assert_same_similarities(gram_of(fold(log, weighted(half_life), NO_CAP)[1]), r)


def assert_same_similarities(gram: Matrix, r: Matrix) -> None:
    norm = np.sqrt(gram.diagonal())
    norm[norm == 0] = 1
    expected = cosine_similarity(r.T)
    np.testing.assert_allclose(gram / norm / norm[:, None], expected, rtol=0, atol=1e-9)


@given(log=logs, cap=caps, rule=rules, data=st.data())
def test_a_replay_from_stored_histories_makes_the_same_changes_for_the_same_offsets(
    log: list[Event], cap: int, rule: Affinity, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(log)))
    histories, _ = fold(log[:at], rule, cap)
    stored = defaultdict(History, {user: reread(history) for user, history in histories.items()})
    _, whole = fold(log, rule, cap)
    _, again = fold(log[at:], rule, cap, first=at, histories=stored)
    assert summed(again) == summed([change for change in whole if change.offset >= at])


def reread(history: History) -> History:
    """The history as a store gives it back: the same entries, in no particular order."""
    items = sorted(history.place_of, reverse=True)
    places = [history.place_of[item] for item in items]
    return History.of(
        history.mark,
        items,
        [float(history.affinity[place]) for place in places],
        [int(history.ts_ms[place]) for place in places],
    )


def summed(changes: list[Change]) -> dict[int, list[list[float]]]:
    """What each offset changes in G, exactly."""
    of_offset: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        of_offset[change.offset].append(change)
    return {offset: gram_of(its).tolist() for offset, its in of_offset.items()}


@given(log=logs, cap=caps, rule=rules)
def test_a_history_keeps_at_most_the_cap_and_knows_what_the_store_lacks(
    log: list[Event], cap: int, rule: Affinity
) -> None:
    at = len(log) // 2
    histories, _ = fold(log[:at], rule, cap)
    stored = defaultdict(History, {user: reread(history) for user, history in histories.items()})
    before = copy.deepcopy(stored)
    fold(log[at:], rule, cap, histories=stored)
    for user, history in stored.items():
        assert len(history) <= cap
        kept = entries(before[user])
        kept.update({item: entries(history)[item] for item in history.touched})
        for item in history.removed:
            kept.pop(item, None)
        assert kept == entries(history)


def entries(history: History) -> dict[int, tuple[float, int]]:
    return {
        item: (float(history.affinity[place]), int(history.ts_ms[place]))
        for item, place in history.place_of.items()
    }


@given(log=logs, cap=caps)
def test_a_history_keeps_the_items_touched_last(log: list[Event], cap: int) -> None:
    log = sorted((event._replace(user=0) for event in log), key=lambda event: event.ts_ms)
    histories, _ = fold(log, binary, cap)
    for user, history in histories.items():
        last_ts_ms = {event.item: event.ts_ms for event in log if event.user == user}
        kept = sorted(last_ts_ms, key=lambda item: (last_ts_ms[item], item))[-cap:]
        assert sorted(history.place_of) == sorted(kept)


def test_an_event_older_than_a_full_history_changes_nothing() -> None:
    history, _ = one_user([(1, 200), (2, 300)], cap=2)
    assert fold_event(history, 9, 3, 1.0, 100, 2) == []
    assert sorted(history.place_of) == [1, 2]


def test_of_items_touched_at_one_time_the_greatest_ids_stay() -> None:
    for order in ([1, 2, 3], [3, 2, 1], [2, 3, 1]):
        history, _ = one_user([(item, 100) for item in order], cap=2)
        assert sorted(history.place_of) == [2, 3]


def test_an_event_that_raises_nothing_still_tells_the_time() -> None:
    history, changes = one_user([(1, 100), (1, 300), (1, 200)], cap=2)
    assert len(changes) == 1
    assert entries(history) == {1: (1.0, 300)}


def test_an_event_so_old_that_it_weighs_nothing_starts_no_history() -> None:
    history = History()
    assert fold_event(history, 0, 1, 0.0, 0, 2) == []
    assert len(history) == 0


def test_an_item_that_leaves_takes_its_products_out_again() -> None:
    _, changes = one_user([(1, 100), (2, 200), (3, 300)], cap=2)
    assert [(c.item, sorted(c.j.tolist()), c.diagonal) for c in changes] == [
        (1, [], 1.0),
        (2, [1], 1.0),
        (1, [2], -1.0),
        (3, [2], 1.0),
    ]


def test_a_history_finds_room_for_any_number_of_items() -> None:
    history, changes = one_user([(item, item) for item in range(100)], cap=NO_CAP)
    assert entries(history) == {item: (1.0, item) for item in range(100)}
    assert sorted(changes[-1].j.tolist()) == list(range(99))


def test_rows_are_entry_mirror_and_diagonal() -> None:
    change = Change(7, 1, np.array([2, 3]), np.array([0.5, 0.25]), 4.0)
    rows = rows_of([change])
    assert sorted(zip(rows.i.tolist(), rows.j.tolist(), rows.delta.tolist(), strict=True)) == [
        (1, 1, 4.0),
        (1, 2, 0.5),
        (1, 3, 0.25),
        (2, 1, 0.5),
        (3, 1, 0.25),
    ]
    assert set(rows.offset.tolist()) == {7}
    assert change.rows == len(rows.i)


def one_user(touches: list[tuple[int, int]], cap: int) -> tuple[History, list[Change]]:
    histories, changes = fold([Event(0, item, 0, ts_ms) for item, ts_ms in touches], binary, cap)
    return histories[0], changes


@given(log=logs, cap=caps, a_round=st.integers(1, 30))
def test_rounds_keep_the_order_and_never_split_an_offset(
    log: list[Event], cap: int, a_round: int
) -> None:
    _, changes = fold(log, binary, cap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent, "_ROWS_A_ROUND", a_round)
        rounds = list(agent._rounds(changes))
    assert [change for some in rounds for change in some] == changes
    offsets = [{change.offset for change in some} for some in rounds]
    assert sum(map(len, offsets)) == len(set().union(*offsets))
    for some in rounds[:-1]:
        assert sum(change.rows for change in some) >= a_round
