"""The scales of weighted users: of which items, and when they are updated.

`test_outgoing` compares whole histories, and their changes of G, with a recomputation.
"""

import math

import pytest

from contracts.affinities import binary, weighted
from contracts.event_types import BUILT_IN
from stream_processors.histories.history import History
from stream_processors.histories.scaled_fold import InverseDegree, MeanValue, fold_scaled_event
from stream_processors.settings import Settings


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_while_a_history_grows_no_item_lags_behind_by_more_than_half_its_length(
    exponent: float,
) -> None:
    history, cap, weight = History.empty(scaled=True), 500, InverseDegree(exponent)
    for n in range(1, 400):
        fold_scaled_event(history, 9, n, 1, n, math.nan, cap, binary, weight)
        assert history.entries["scale"].max() <= (n / 2) ** -exponent


@pytest.mark.parametrize(
    ("values", "scale"),
    [([], 1.0), ([math.nan], 1.0), ([20.0, 60.0], 2.0), ([math.inf], 10.0), ([1e-300], 0.1)],
)
def test_a_users_value_is_the_mean_relative_to_the_typical_one_within_bounds(
    values: list[float], scale: float
) -> None:
    history, weight = History.empty(scaled=True), MeanValue(1 / 3, 5.0)
    history.add(1, 1.0, 0)
    for value in values:
        weight.note(history, 0, value)
    assert weight.scale(history) == pytest.approx(scale)


def test_the_shortest_allowed_half_life_overflows_no_sum_until_2038() -> None:
    shortest = next(m.ge for m in Settings.model_fields["half_life_days"].metadata)
    one_event = weighted(shortest)(0.0, BUILT_IN["trade"], 2_145_916_800_000)
    users_x_events = 1e8 * 1e3
    assert math.isfinite(one_event * one_event * users_x_events)
