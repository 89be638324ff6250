"""Changes of G add up to the Gram matrix of the histories, whatever the events are."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from contracts.affinities import Affinity, binary, greatest, weighted
from contracts.messages import EVENT_TYPES
from contracts.times import DAY_MS
from stream_processors.histories.fold import Change, Leaving, fold_event, fold_leaving
from stream_processors.histories.history import History
from tests.oracles.gram import gram_matrix

from .changes import N_ITEMS, NO_CAP, Matrix, gram_of

START_MS = 1_600_000_000_000


class Event(NamedTuple):
    """Its index in a list is its offset."""

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
rules = st.sampled_from([binary, weighted(14.0), weighted(60.0), greatest(14.0), greatest(60.0)])


def new() -> History:
    return History.empty(scaled=False)


def fold(
    log: list[Event],
    rule: Affinity,
    cap: int,
    first: int = 0,
    histories: dict[int, History] | None = None,
) -> tuple[dict[int, History], list[Change]]:
    histories = defaultdict(new) if histories is None else histories
    changes: list[Change] = []
    for offset, (user, item, event, ts_ms) in enumerate(log, start=first):
        changes += fold_event(histories[user], offset, item, event, ts_ms, cap, rule)
    return histories, changes


def affinity_of(history: History, item: int) -> float:
    return entries(history).get(item, (0.0, 0))[0]


def user_items(histories: dict[int, History]) -> Matrix:
    """Affinities, (n_users, n_items)."""
    return np.array([[affinity_of(h, item) for item in range(N_ITEMS)] for h in histories.values()])


@given(log=logs, cap=caps)
def test_binary_changes_add_up_to_the_gram_matrix_to_the_last_count(
    log: list[Event], cap: int
) -> None:
    histories, changes = fold(log, binary, cap)
    r = user_items(histories)
    assert gram_of(changes).tolist() == (gram_matrix(r)).tolist()


@given(log=logs, cap=caps, half_life=st.floats(14, 400))
def test_weighted_changes_add_up_to_the_gram_matrix(
    log: list[Event], cap: int, half_life: float
) -> None:
    histories, changes = fold(log, weighted(half_life), cap)
    r = user_items(histories)
    scale = max((abs(change.delta[-1]) for change in changes), default=0)
    np.testing.assert_allclose(gram_of(changes), gram_matrix(r), rtol=1e-9, atol=1e-9 * scale)


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
    stored = defaultdict(new, {user: reread(history) for user, history in histories.items()})
    _, whole = fold(log, rule, cap)
    _, again = fold(log[at:], rule, cap, first=at, histories=stored)
    assert summed(again) == summed([change for change in whole if change.offset >= at])


def reread(history: History) -> History:
    """The history as read from a store: the same entries, in arbitrary order."""
    by_item = np.sort(history.entries, order="item")[::-1].copy()
    return History(by_item, history.mark)


def summed(changes: list[Change]) -> dict[int, list[list[float]]]:
    """The exact changes of G by each offset."""
    of_offset: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        of_offset[change.offset].append(change)
    return {offset: gram_of(its).tolist() for offset, its in of_offset.items()}


@given(log=logs, cap=caps, rule=rules)
def test_a_history_keeps_at_most_the_cap_and_knows_what_is_not_stored(
    log: list[Event], cap: int, rule: Affinity
) -> None:
    at = len(log) // 2
    histories, _ = fold(log[:at], rule, cap)
    stored = defaultdict(new, {user: reread(history) for user, history in histories.items()})
    before = {user: entries(history) for user, history in stored.items()}
    fold(log[at:], rule, cap, histories=stored)
    for user, history in stored.items():
        assert len(history) <= cap
        kept = before.get(user, {})
        kept.update({item: entries(history)[item] for item in history.touched})
        for item in history.removed:
            kept.pop(item, None)
        assert kept == entries(history)


def entries(history: History) -> dict[int, tuple[float, int]]:
    return {item: (affinity, ts_ms) for item, affinity, ts_ms in history.entries.tolist()}


@given(log=logs, cap=caps)
def test_a_history_keeps_the_items_touched_last(log: list[Event], cap: int) -> None:
    log = sorted((event._replace(user=0) for event in log), key=lambda event: event.ts_ms)
    histories, _ = fold(log, binary, cap)
    for user, history in histories.items():
        last_ts_ms = {event.item: event.ts_ms for event in log if event.user == user}
        kept = sorted(last_ts_ms, key=lambda item: (last_ts_ms[item], item))[-cap:]
        assert sorted(entries(history)) == sorted(kept)


def test_an_event_older_than_a_full_history_changes_nothing() -> None:
    history, _ = one_user([(1, 200), (2, 300)], cap=2)
    assert fold_event(history, 9, 3, 0, 100, 2, binary) == []
    assert sorted(entries(history)) == [1, 2]


def test_of_items_touched_at_one_time_the_greatest_ids_stay() -> None:
    for order in ([1, 2, 3], [3, 2, 1], [2, 3, 1]):
        history, _ = one_user([(item, 100) for item in order], cap=2)
        assert sorted(entries(history)) == [2, 3]


def test_an_event_that_raises_nothing_still_updates_the_time() -> None:
    history, changes = one_user([(1, 100), (1, 300), (1, 200)], cap=2)
    assert len(changes) == 1
    assert entries(history) == {1: (1.0, 300)}


def test_an_event_too_old_to_have_weight_starts_no_history() -> None:
    history = new()
    assert fold_event(history, 0, 1, 0, 0, 2, weighted(0.001)) == []
    assert len(history) == 0


def test_a_leaving_items_products_are_subtracted_again() -> None:
    _, changes = one_user([(1, 100), (2, 200), (3, 300)], cap=2)
    assert [(c.item, sorted(c.j[:-1].tolist()), float(c.delta[-1])) for c in changes] == [
        (1, [], 1.0),
        (2, [1], 1.0),
        (1, [2], -1.0),
        (3, [2], 1.0),
    ]


def test_a_history_has_room_for_any_number_of_items() -> None:
    history, changes = one_user([(item, item) for item in range(100)], cap=NO_CAP)
    assert entries(history) == {item: (1.0, item) for item in range(100)}
    assert sorted(changes[-1].j.tolist()) == list(range(100))


def one_user(touches: list[tuple[int, int]], cap: int) -> tuple[History, list[Change]]:
    histories, changes = fold([Event(0, item, 0, ts_ms) for item, ts_ms in touches], binary, cap)
    return histories[0], changes


@given(log=logs, cap=caps)
def test_a_leaving_users_products_are_all_subtracted_again(log: list[Event], cap: int) -> None:
    histories, changes = fold(log, binary, cap)
    both: list[Change | Leaving] = list(changes)
    for history in histories.values():
        its = fold_leaving(history, len(log))
        assert len(its) == 1
        both += its
        assert (len(history), history.touched, history.removed) == (0, set(), set())
        assert history.is_emptied
    assert not gram_of(both).any()


def test_a_user_without_items_changes_nothing_by_leaving() -> None:
    assert fold_leaving(new(), 0) == []


@given(log=logs)
def test_the_last_event_time_is_the_newest_of_all(log: list[Event]) -> None:
    histories, _ = fold(log, binary, NO_CAP)
    for user, history in histories.items():
        assert history.last_ts_ms() == max(event.ts_ms for event in log if event.user == user)
    assert new().last_ts_ms() < 0


def test_changes_do_not_alias_the_history() -> None:
    history, changes = one_user([(1, 100), (2, 200)], cap=2)
    before = [(change.j.tolist(), change.delta.tolist()) for change in changes]
    fold_event(history, 2, 3, 0, 300, 2, binary)
    fold_leaving(history, 3)
    assert [(change.j.tolist(), change.delta.tolist()) for change in changes] == before
