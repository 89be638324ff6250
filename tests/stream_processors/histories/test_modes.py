"""In every mode histories match a batch recomputation of the events, and G matches the histories.

The recomputation is plain Python, without the fold's code.
"""

from collections import defaultdict
from itertools import product
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import AffinityName, weighted, weights_of
from contracts.event_types import BUILT_IN
from contracts.messages import Interaction
from contracts.times import DAY_MS
from stream_processors.histories.fold import Change
from stream_processors.histories.history import History
from stream_processors.histories.rules import HistoryRules, rules_of
from stream_processors.settings import Settings
from tests.oracles.gram import gram_matrix
from tests.oracles.histories import Rules
from tests.oracles.histories import histories as recomputed

from .changes import N_ITEMS, NO_CAP, Matrix, add, gram_by_offset

START_MS = 1_750_000_000_000
VIEW, TRADE = BUILT_IN["view"], BUILT_IN["trade"]
USER_WEIGHTS = ("none", "inverse-degree", "value")
MODES = [*product(get_args(AffinityName), USER_WEIGHTS)]

times = st.integers(0, 40).map(lambda day: START_MS + day * DAY_MS) | st.integers(
    START_MS, START_MS + 40 * DAY_MS
)
"""Unordered, so that events are late; on few days, so that some tie."""
logs = st.lists(
    st.builds(
        Interaction,
        user_id=st.sampled_from("AB"),
        instrument_id=st.integers(0, N_ITEMS - 1),
        event=st.sampled_from(list(BUILT_IN)),
        # Quarters have exact sums, which break ties between equally distant scales.
        price=st.none() | st.integers(1, 4_000).map(lambda quarters: quarters / 4),
        ts=times,
    ),
    min_size=1,
    max_size=40,
).flatmap(lambda log: st.just(log) | st.just([event for event in log for _ in range(2)]))
"""Each event once or twice."""
caps = st.sampled_from([1, 2, 3, NO_CAP])
half_lives = st.sampled_from([14.0, 60.0])

Histories = dict[str, History]


def settings(affinity: str, user_weight: str, half_life: float, cap: int) -> Settings:
    return Settings(
        affinity=affinity,
        user_weight=user_weight,
        half_life_days=half_life,
        history_cap=cap,
        typical_value=50.0,
    )


def fold(
    log: list[Interaction],
    rules: HistoryRules,
    first: int = 0,
    stored: Histories = {},  # noqa: B006 (not changed)
) -> tuple[Histories, list[Change]]:
    """Fold events at offsets from `first` on, into histories as they were stored."""
    histories: Histories = defaultdict(lambda: History.empty(scaled=rules.is_scaled), stored)
    changes: list[Change] = []
    for offset, event in enumerate(log, start=first):
        value = np.nan if event.price is None else event.price
        weight = BUILT_IN[event.event]
        history = histories[event.user_id]
        its = rules.fold(history, offset, event.instrument_id, weight, event.ts, value)
        assert len(its) <= rules.changes_an_event
        changes += its
    return histories, changes


def reread(histories: Histories) -> Histories:
    """The histories as read from a store: the same entries, in arbitrary order."""
    read: Histories = {}
    for user, history in histories.items():
        entries = np.sort(history.entries, order="item")[::-1].copy()
        read[user] = History(entries, history.mark)
        read[user].rejected = dict(history.rejected)
    return read


def rows(history: History) -> dict[int, tuple[Any, ...]]:
    """Affinity, last and first event time and, of weighted users, scale by item."""
    rejected = {item: (*row, 1.0) for item, row in history.rejected.items()}
    return rejected | {item: tuple(row[:4]) for item, *row in history.entries.tolist()}


def user_items(histories: Histories) -> Matrix:
    """Affinities, (n_users, n_items)."""
    r = np.zeros((len(histories), N_ITEMS))
    for row, history in zip(r, histories.values(), strict=True):
        row[history.entries["item"]] = history.entries["affinity"]
    return r


def gram_and_greatest(changes: list[Change]) -> tuple[Matrix, Matrix]:
    """The sum of the changes, and the maximum of each entry on the way."""
    gram, greatest = np.zeros((2, N_ITEMS, N_ITEMS))
    for change in changes:
        add(gram, change)
        greatest = np.maximum(greatest, gram)
    return gram, greatest


@pytest.mark.parametrize(("affinity", "user_weight"), MODES)
@given(log=logs, half_life=half_lives, cap=caps)
def test_histories_are_those_of_a_batch_recomputation(
    affinity: str, user_weight: str, log: list[Interaction], half_life: float, cap: int
) -> None:
    given_ = settings(affinity, user_weight, half_life, cap)
    histories, _ = fold(log, rules_of(given_))
    expected = recomputed(log, Rules.of(given_))
    assert histories.keys() == expected.keys()
    for user, history in histories.items():
        found = rows(history)
        assert found.keys() == expected[user].keys()
        for item, held in expected[user].items():
            of_user = (held.scale,) if user_weight != "none" else ()
            times = (held.ts_ms, held.first_ms)
            ours = found[item][: 3 + len(of_user)]
            assert ours == pytest.approx((held.affinity, *times, *of_user), rel=1e-12)
            assert (item in history.rejected) == held.is_rejected


@pytest.mark.parametrize(("affinity", "user_weight"), MODES)
@given(log=logs, half_life=half_lives, cap=caps)
def test_changes_add_up_to_the_gram_matrix_of_the_histories(
    affinity: str, user_weight: str, log: list[Interaction], half_life: float, cap: int
) -> None:
    histories, changes = fold(log, rules_of(settings(affinity, user_weight, half_life, cap)))
    r = user_items(histories)
    gram, largest = gram_and_greatest(changes)
    assert (np.abs(gram - gram_matrix(r)) <= 1e-9 * largest).all()
    if (affinity, user_weight) == ("binary", "none"):
        assert gram.tolist() == (gram_matrix(r)).tolist()


@pytest.mark.parametrize(("affinity", "user_weight"), MODES)
@given(log=logs, cap=caps, data=st.data())
def test_a_replay_from_stored_histories_makes_the_same_changes_for_the_same_offsets(
    affinity: str, user_weight: str, log: list[Interaction], cap: int, data: st.DataObject
) -> None:
    rules = rules_of(settings(affinity, user_weight, 14.0, cap))
    at = data.draw(st.integers(0, len(log)))
    stored = reread(fold(log[:at], rules)[0])
    _, whole = fold(log, rules)
    _, again = fold(log[at:], rules, at, stored)
    assert gram_by_offset(again) == gram_by_offset([c for c in whole if c.offset >= at])


@pytest.mark.parametrize(("affinity", "user_weight"), MODES)
@given(log=logs, cap=caps)
def test_a_history_keeps_at_most_the_cap_and_knows_what_is_not_stored(
    affinity: str, user_weight: str, log: list[Interaction], cap: int
) -> None:
    rules, at = rules_of(settings(affinity, user_weight, 14.0, cap)), len(log) // 2
    stored = reread(fold(log[:at], rules)[0])
    kept = defaultdict(dict, {user: rows(history) for user, history in stored.items()})
    for user, history in fold(log[at:], rules, at, stored)[0].items():
        assert len(history) <= cap
        assert len(history.rejected) <= cap
        now = rows(history)
        kept[user].update({item: now[item] for item in history.touched})
        for item in history.removed:
            kept[user].pop(item, None)
        assert kept[user] == now


@given(log=logs, half_life=half_lives)
def test_the_greatest_affinity_is_that_of_the_heaviest_event_to_the_last_bit(
    log: list[Interaction], half_life: float
) -> None:
    histories, _ = fold(log, rules_of(settings("greatest", "none", half_life, NO_CAP)))
    of_types = np.array([BUILT_IN[event.event] for event in log])
    ts_ms = np.array([event.ts for event in log])
    weights = weights_of("greatest", of_types, ts_ms, half_life).tolist()
    expected: dict[tuple[str, int], float] = defaultdict(float)
    for event, weight in zip(log, weights, strict=True):
        key = event.user_id, event.instrument_id
        expected[key] = max(expected[key], weight) if weight > 0 else weight
    found = {
        (user, item): row[0]
        for user, history in histories.items()
        for item, row in rows(history).items()
    }
    assert found == expected


@given(log=logs, half_life=half_lives)
def test_what_changes_neither_scale_nor_affinity_of_a_weighted_user_is_not_published(
    log: list[Interaction], half_life: float
) -> None:
    """As many further events as there are items update all; then repetitions change nothing."""
    log = [event for event in log if event.user_id == log[0].user_id]
    log.append(msgspec.structs.replace(log[-1], event="trade"))
    calm = [log[-1]] * (N_ITEMS + 2)
    _, changes = fold(log + calm, rules_of(settings("greatest", "inverse-degree", half_life, 500)))
    assert all(change.offset < len(log) + N_ITEMS for change in changes)


def test_the_shortest_allowed_half_life_overflows_no_sum_until_2038() -> None:
    shortest = next(m.ge for m in Settings.model_fields["half_life_days"].metadata)
    in_2038 = 2_145_916_800_000
    one_event = weighted(shortest)(0.0, TRADE, in_2038)
    users_x_events = 1e8 * 1e3
    assert np.isfinite(one_event * one_event * users_x_events)
