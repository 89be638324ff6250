"""Changes of G by weighted users add up to the Gram matrix of the histories."""

import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from contracts.affinities import Affinity, binary, greatest, weighted
from contracts.messages import EVENT_TYPES
from contracts.times import DAY_MS
from stream_processors.histories.fold import Change
from stream_processors.histories.history import SCALED_ENTRY, History
from stream_processors.histories.rules import rules_of
from stream_processors.histories.scaled_fold import CHANGES_AN_EVENT, fold_scaled_event
from stream_processors.histories.user_weights import InverseDegree, MeanValue, UserWeight
from stream_processors.settings import Settings
from tests.oracles.gram import gram_matrix

from .changes import N_ITEMS, NO_CAP, Matrix, gram_of

START_MS = 1_600_000_000_000
NO_VALUE = math.nan
UNWEIGHTED = InverseDegree(0.0)


class Event(NamedTuple):
    """Its index in a list is its offset."""

    user: int
    item: int
    event: int
    ts_ms: int
    value: float


logs = st.lists(
    st.builds(
        Event,
        st.integers(0, 1),
        st.integers(0, N_ITEMS - 1),
        st.integers(0, len(EVENT_TYPES) - 1),
        st.integers(0, 40).map(lambda day: START_MS + day * DAY_MS),
        st.floats(0.01, 1e4) | st.just(NO_VALUE),
    ),
    min_size=1,
    max_size=40,
)
caps = st.sampled_from([1, 2, 3, NO_CAP])
rules = st.sampled_from([binary, weighted(14.0), weighted(60.0), greatest(14.0), greatest(60.0)])
weights = st.sampled_from([InverseDegree(0.5), InverseDegree(0.75), MeanValue(1.0, 20.0)])

Histories = dict[int, History]


def new() -> History:
    return History.empty(scaled=True)


def fold(
    log: list[Event],
    rule: Affinity,
    cap: int,
    weight: UserWeight,
    first: int = 0,
    histories: Histories | None = None,
) -> tuple[Histories, list[Change]]:
    histories = defaultdict(new) if histories is None else histories
    changes: list[Change] = []
    for offset, (user, *event, value) in enumerate(log, start=first):
        its = fold_scaled_event(histories[user], offset, *event, value, cap, rule, weight)
        assert len(its) <= CHANGES_AN_EVENT
        changes += its
    return histories, changes


def column(history: History, name: str) -> dict[int, float]:
    """A column of the history by item."""
    entries = history.entries
    return dict(zip(entries["item"].tolist(), entries[name].tolist(), strict=True))


def affinity_of(history: History, item: int) -> float:
    return column(history, "affinity").get(item, 0.0)


def user_items(histories: Histories) -> Matrix:
    """Affinities, (n_users, n_items)."""
    return np.array([[affinity_of(h, item) for item in range(N_ITEMS)] for h in histories.values()])


def reread(history: History) -> History:
    """The history as read from a store: the same entries, in arbitrary order."""
    by_item = np.sort(history.entries, order="item")[::-1].copy()
    return History(by_item, history.mark)


@given(log=logs, rule=rules, cap=caps, weight=weights)
def test_changes_add_up_to_the_gram_matrix_of_the_histories(
    log: list[Event], rule: Affinity, cap: int, weight: UserWeight
) -> None:
    histories, changes = fold(log, rule, cap, weight)
    r = user_items(histories)
    greatest = max((abs(change.delta[-1]) for change in changes), default=0)
    np.testing.assert_allclose(gram_of(changes), gram_matrix(r), rtol=1e-9, atol=1e-9 * greatest)


@given(log=logs, rule=rules, cap=caps, weight=weights, data=st.data())
def test_a_replay_from_stored_histories_makes_the_same_changes_for_the_same_offsets(
    log: list[Event], rule: Affinity, cap: int, weight: UserWeight, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(log)))
    histories, _ = fold(log[:at], rule, cap, weight)
    stored = defaultdict(new, {user: reread(history) for user, history in histories.items()})
    _, whole = fold(log, rule, cap, weight)
    _, again = fold(log[at:], rule, cap, weight, first=at, histories=stored)
    assert summed(again) == summed([change for change in whole if change.offset >= at])


def summed(changes: list[Change]) -> dict[int, list[list[float]]]:
    """The exact changes of G by each offset."""
    of_offset: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        of_offset[change.offset].append(change)
    return {offset: gram_of(its).tolist() for offset, its in of_offset.items()}


@given(log=logs, rule=rules, cap=caps, weight=weights)
def test_each_affinity_is_that_of_an_unweighted_user_times_its_scale(
    log: list[Event], rule: Affinity, cap: int, weight: UserWeight
) -> None:
    histories, _ = fold(log, rule, cap, weight)
    plain, _ = fold(log, rule, cap, UNWEIGHTED)
    for user, history in histories.items():
        scales = column(history, "scale")
        assert scales.keys() == column(plain[user], "scale").keys()
        for item, scale in scales.items():
            expected = affinity_of(plain[user], item) * scale
            assert affinity_of(history, item) == pytest.approx(expected, rel=1e-9)


@given(log=logs, rule=rules, weight=weights)
def test_once_all_are_up_to_date_similarities_are_scikit_learns_with_the_users_scales(
    log: list[Event], rule: Affinity, weight: UserWeight
) -> None:
    """As many further events as a history has items, which change no scale, update all."""
    last = {event.user: event for event in log}
    calm = [event._replace(value=NO_VALUE) for event in last.values() for _ in range(N_ITEMS)]
    histories, changes = fold(log + calm, rule, NO_CAP, weight)
    unscaled = user_items(fold(log + calm, rule, NO_CAP, UNWEIGHTED)[0])
    scales = [[batch_scale(log, user, weight)] for user in histories]
    norm = np.sqrt(gram_of(changes).diagonal())
    norm[norm == 0] = 1
    expected = cosine_similarity((unscaled * scales).T)
    found = gram_of(changes) / norm / norm[:, None]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def batch_scale(log: list[Event], user: int, weight: UserWeight) -> float:
    """A user's scale, from the whole log at once."""
    its = [event for event in log if event.user == user]
    if isinstance(weight, InverseDegree):
        return len({event.item for event in its}) ** -weight.exponent
    assert isinstance(weight, MeanValue)
    values = [event.value for event in its if not math.isnan(event.value)]
    far = 1_000 * weight.typical_value, weight.typical_value / 1_000
    mean = np.clip(values, far[1], far[0]).mean() if values else weight.typical_value
    return float(mean / weight.typical_value) ** weight.exponent


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_while_a_history_grows_no_item_lags_behind_by_more_than_half_its_length(
    exponent: float,
) -> None:
    history = new()
    for n in range(1, 400):
        touch(history, n, n, weight=InverseDegree(exponent))
        assert history.entries["scale"].max() <= (n / 2) ** -exponent


def touch(
    history: History,
    item: int,
    ts_ms: int,
    value: float = NO_VALUE,
    cap: int = NO_CAP,
    *,
    weight: UserWeight,
) -> list[Change]:
    return fold_scaled_event(history, 9, item, 0, ts_ms, value, cap, binary, weight)


def test_an_event_updates_its_item_and_the_one_furthest_behind() -> None:
    history, weight = new(), InverseDegree(0.5)
    for item in (1, 2, 3):
        touch(history, item, item, weight=weight)
    assert column(history, "scale") == {1: 2**-0.5, 2: 3**-0.5, 3: 3**-0.5}
    changes = touch(history, 3, 4, weight=weight)
    assert [change.item for change in changes] == [1]
    assert column(history, "scale") == dict.fromkeys((1, 2, 3), 3**-0.5)
    assert touch(history, 3, 5, weight=weight) == []


def test_an_event_older_than_a_full_history_changes_nothing_not_even_the_mean() -> None:
    history, weight = new(), MeanValue(1.0, 10.0)
    for item in (1, 2):
        touch(history, item, 200 + item, 10.0, 2, weight=weight)
    before = history.entries.tolist()
    assert touch(history, 3, 100, 5_000.0, 2, weight=weight) == []
    assert history.entries.tolist() == before


def test_a_leaving_items_values_no_longer_count_in_the_mean() -> None:
    history, weight = new(), MeanValue(1.0, 10.0)
    for item, value in ((1, 70.0), (2, 20.0), (3, 40.0)):
        touch(history, item, item, value, 2, weight=weight)
    assert column(history, "scale")[3] == 3.0
    assert column(history, "total") == {2: 20.0, 3: 40.0}
    assert column(history, "n_values") == {2: 1, 3: 1}


@pytest.mark.parametrize(
    ("values", "scale"),
    [([], 1.0), ([NO_VALUE], 1.0), ([20.0, 60.0], 2.0), ([math.inf], 10.0), ([1e-300], 0.1)],
)
def test_a_users_value_is_the_mean_relative_to_the_typical_one_within_bounds(
    values: list[float], scale: float
) -> None:
    history, weight = new(), MeanValue(1 / 3, 5.0)
    history.add(1, 1.0, 0)
    for value in values:
        weight.note(history, 0, value)
    assert weight.scale(history) == pytest.approx(scale)


def test_the_mean_does_not_depend_on_the_order_in_which_redis_has_the_items() -> None:
    entries = np.zeros(3, SCALED_ENTRY)
    entries["total"], entries["n_values"] = [0.1, 0.2, 0.3], 1
    weight = MeanValue(1.0, 1.0)
    scales = {weight.scale(History(some)) for some in (entries, entries[::-1])}
    assert len(scales) == 1


@pytest.mark.parametrize(
    ("settings", "weight"),
    [
        ({}, None),
        ({"user_weight": "inverse-degree"}, InverseDegree(0.5)),
        (
            {"user_weight": "value", "user_weight_exponent": 1.0, "typical_value": 30.0},
            MeanValue(1.0, 30.0),
        ),
    ],
)
def test_settings_name_the_rule(settings: dict[str, object], weight: UserWeight | None) -> None:
    assert rules_of(Settings(**settings)).weight == weight
