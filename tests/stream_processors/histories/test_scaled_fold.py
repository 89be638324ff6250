"""The scales of weighted users: of which items, and when they are updated.

`test_modes` compares whole histories, and their changes of G, with a recomputation.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import binary
from stream_processors.histories.fold import Change
from stream_processors.histories.history import SCALED_ENTRY, History
from stream_processors.histories.rules import rules_of
from stream_processors.histories.scaled_fold import fold_scaled_event
from stream_processors.histories.user_weights import InverseDegree, MeanValue, UserWeight
from stream_processors.settings import Settings

from .changes import N_ITEMS, NO_CAP

NO_VALUE = math.nan


class Event(NamedTuple):
    item: int
    value: float


logs = st.lists(
    st.builds(Event, st.integers(0, N_ITEMS - 1), st.floats(0.01, 1e4) | st.just(NO_VALUE)),
    min_size=1,
    max_size=40,
)
weights = st.sampled_from([InverseDegree(0.5), InverseDegree(0.75), MeanValue(1.0, 20.0)])


def new() -> History:
    return History.empty(scaled=True)


def touch(
    history: History,
    item: int,
    ts_ms: int,
    value: float = NO_VALUE,
    cap: int = NO_CAP,
    *,
    weight: UserWeight,
) -> list[Change]:
    return fold_scaled_event(history, 9, item, 1, ts_ms, value, cap, binary, weight)


def column(history: History, name: str) -> dict[int, float]:
    """A column of the history by item."""
    entries = history.entries
    return dict(zip(entries["item"].tolist(), entries[name].tolist(), strict=True))


@given(log=logs, weight=weights)
def test_further_events_bring_each_item_to_the_users_scale(
    log: list[Event], weight: UserWeight
) -> None:
    """As many as a history has items, which change no scale themselves."""
    history = new()
    calm = [Event(log[-1].item, NO_VALUE)] * N_ITEMS
    for ts_ms, (item, value) in enumerate(log + calm):
        touch(history, item, ts_ms, value, weight=weight)
    items = {event.item for event in log}
    assert column(history, "scale") == pytest.approx(dict.fromkeys(items, scale_of(log, weight)))


def scale_of(log: list[Event], weight: UserWeight) -> float:
    """Return the user's scale, from the whole log at once."""
    if isinstance(weight, InverseDegree):
        return len({event.item for event in log}) ** -weight.exponent
    assert isinstance(weight, MeanValue)
    values = [event.value for event in log if not math.isnan(event.value)]
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
