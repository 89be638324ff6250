import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import EVENT_TYPES, MAX_TS_MS
from stream_processors.histories.affinities import DAY_MS, EVENT_WEIGHTS, binary, weighted
from stream_processors.settings import Settings

kinds = st.integers(0, len(EVENT_TYPES) - 1)
times = st.integers(0, MAX_TS_MS)
recent = st.integers(1_577_836_800_000, 1_893_456_000_000)


@given(event=kinds, ts_ms=times)
def test_binary_counts_the_first_event_only(event: int, ts_ms: int) -> None:
    assert binary(0.0, event, ts_ms) == 1.0
    assert binary(1.0, event, ts_ms) == 0.0


@given(event=kinds, ts_ms=recent, half_life=st.floats(14, 400), so_far=st.floats(0, 1e6))
def test_an_event_a_half_life_later_tells_twice_as_much(
    event: int, ts_ms: int, half_life: float, so_far: float
) -> None:
    rule = weighted(half_life)
    earlier, later = (
        rule(so_far, event, ts_ms),
        rule(so_far, event, ts_ms + round(half_life * DAY_MS)),
    )
    assert later / earlier == pytest.approx(2, rel=1e-6)


@given(ts_ms=recent)
def test_events_of_one_time_tell_as_much_as_their_weights(ts_ms: int) -> None:
    rule = weighted(60.0)
    told = {event: rule(0.0, place, ts_ms) for place, event in enumerate(EVENT_TYPES)}
    for event, weight in EVENT_WEIGHTS.items():
        assert told[event] / told["view"] == pytest.approx(weight / EVENT_WEIGHTS["view"])


@given(
    log=st.lists(st.tuples(st.integers(0, 3), kinds, recent), min_size=1, max_size=12),
    asked_at_ms=st.integers(1_893_456_000_000, 1_924_992_000_000),
)
def test_forward_decay_has_the_cosine_of_exponential_decay_at_any_later_time(
    log: list[tuple[int, int, int]], asked_at_ms: int
) -> None:
    half_life = 60.0
    rule = weighted(half_life)
    forward, decayed = np.zeros(4), np.zeros(4)
    for item, event, ts_ms in log:
        forward[item] += rule(forward[item], event, ts_ms)
        age = (asked_at_ms - ts_ms) / DAY_MS / half_life
        decayed[item] += EVENT_WEIGHTS[EVENT_TYPES[event]] * 2.0**-age
    unit = forward / np.linalg.norm(forward)
    np.testing.assert_allclose(unit, decayed / np.linalg.norm(decayed), rtol=1e-9, atol=1e-12)


def test_the_shortest_half_life_that_may_be_set_overflows_in_no_sum_until_2038() -> None:
    shortest = next(m.ge for m in Settings.model_fields["half_life_days"].metadata)
    in_2038 = 2_145_916_800_000
    one_event = weighted(shortest)(0.0, EVENT_TYPES.index("trade"), in_2038)
    users_x_events = 1e8 * 1e3
    assert math.isfinite(one_event * one_event * users_x_events)
