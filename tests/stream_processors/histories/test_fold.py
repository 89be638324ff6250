"""Histories of users who all count alike: which items they keep, and what leaving users change.

`test_modes` compares whole histories, and their changes of G, with a recomputation.
"""

from collections import defaultdict
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import binary
from stream_processors.histories.fold import Change, Leaving, fold_event, fold_leaving
from stream_processors.histories.history import History

from .changes import N_ITEMS, NO_CAP, gram_of


class Event(NamedTuple):
    """Its index in a list is its offset."""

    user: int
    item: int
    ts_ms: int


logs = st.lists(
    st.builds(Event, st.integers(0, 1), st.integers(0, N_ITEMS - 1), st.integers(0, 40)),
    min_size=1,
    max_size=40,
)
caps = st.sampled_from([1, 2, 3, NO_CAP])


def new() -> History:
    return History.empty(scaled=False)


def fold(log: list[Event], cap: int) -> tuple[dict[int, History], list[Change]]:
    histories = defaultdict(new)
    changes: list[Change] = []
    for offset, (user, item, ts_ms) in enumerate(log):
        changes += fold_event(histories[user], offset, item, 1, ts_ms, cap, binary)
    return histories, changes


def one_user(touches: list[tuple[int, int]], cap: int) -> tuple[History, list[Change]]:
    """Fold (item, time) of one user."""
    histories, changes = fold([Event(0, *touch) for touch in touches], cap)
    return histories[0], changes


def entries(history: History) -> dict[int, tuple[float, int]]:
    """Affinity and time by item."""
    return {item: (affinity, ts_ms) for item, affinity, ts_ms, _ in history.entries.tolist()}


def test_an_event_that_raises_nothing_still_updates_the_time() -> None:
    history, changes = one_user([(1, 100), (1, 300), (1, 200)], cap=2)
    assert len(changes) == 1
    assert entries(history) == {1: (1.0, 300)}


@given(log=logs, cap=caps)
def test_a_leaving_users_products_are_all_subtracted_again(log: list[Event], cap: int) -> None:
    histories, changes = fold(log, cap)
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
