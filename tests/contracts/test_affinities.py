"""The rules of affinities, event by event and for columns of events."""

import math
import random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import (
    DECAY_STARTS_MS,
    AffinityName,
    affinity_of,
    greatest,
    weighted,
    weights_of,
)
from contracts.times import DAY_MS, MAX_TS_MS

IN_2030_MS = 1_893_456_000_000

of_types = st.floats(1e-3, 1e6) | st.sampled_from([1.0, 2.0, 5.0])
rejections = st.floats(-1e6, 0)
recent = st.integers(DECAY_STARTS_MS, IN_2030_MS)
from_1970_on = st.integers(0, IN_2030_MS)
half_lives = st.floats(14, 400)
events = st.lists(st.tuples(of_types, from_1970_on), min_size=1, max_size=12)
Events = list[tuple[float, int]]


def weights(some: Events, half_life: float) -> list[float]:
    weight = np.array([weight for weight, _ in some])
    ts_ms = np.array([ts_ms for _, ts_ms in some], np.int64)
    weights: list[float] = weights_of("weighted", weight, ts_ms, half_life).tolist()
    return weights


@given(
    log=st.lists(st.tuples(st.integers(0, 3), of_types, recent), min_size=1, max_size=12),
    asked_at_ms=st.integers(IN_2030_MS, 1_924_992_000_000),
    is_sum=st.booleans(),
)
def test_forward_decay_has_the_cosine_of_exponential_decay_at_any_later_time(
    log: list[tuple[int, float, int]],
    asked_at_ms: int,
    is_sum: bool,  # noqa: FBT001 (Hypothesis draws it)
) -> None:
    half_life = 60.0
    rule = weighted(half_life) if is_sum else greatest(half_life)
    forward, backward = np.zeros(4), np.zeros(4)
    for item, of_type, ts_ms in log:
        forward[item] = rule(forward[item], of_type, ts_ms)
        age = (asked_at_ms - ts_ms) / DAY_MS / half_life
        weight = of_type * 2.0**-age
        backward[item] = backward[item] + weight if is_sum else max(backward[item], weight)
    unit = forward / np.linalg.norm(forward)
    np.testing.assert_allclose(unit, backward / np.linalg.norm(backward), rtol=1e-9, atol=1e-12)


@given(some=events, half_life=half_lives)
def test_events_weigh_the_same_in_columns_as_one_by_one_to_the_last_bit(
    some: Events, half_life: float
) -> None:
    for rule in (weighted(half_life), greatest(half_life)):
        assert weights(some, half_life) == [rule(0.0, *event) for event in some]


@given(some=events, half_life=half_lives, order=st.randoms())
def test_the_greatest_is_one_of_the_events_weights_in_whatever_order_and_however_often_they_come(
    some: Events, half_life: float, order: random.Random
) -> None:
    rule = greatest(half_life)
    again = [*some, *some]
    order.shuffle(again)
    for log in (some, again):
        affinity = 0.0
        for event in log:
            affinity = rule(affinity, *event)
        assert affinity == max(weights(some, half_life))


@pytest.mark.parametrize("name", get_args(AffinityName))
@given(
    rejection=rejections,
    ts_ms=recent,
    half_life=half_lives,
    so_far=st.sampled_from([0.0, 1.0, 1e9]),
)
def test_a_rejection_replaces_what_was_so_far_by_its_own_weight(
    name: AffinityName, rejection: float, ts_ms: int, half_life: float, so_far: float
) -> None:
    rejected = affinity_of(name, half_life)(so_far, rejection, ts_ms)
    alone = weights_of(name, np.array([rejection]), np.array([ts_ms]), half_life)
    assert [rejected] == alone.tolist()
    assert rejected <= 0
    assert (rejected < 0) == (rejection < 0)


def test_no_events_weigh_nothing_and_one_beyond_all_floats_is_an_error() -> None:
    assert weights([], 60.0) == []
    with pytest.raises(OverflowError):
        weights([(0, MAX_TS_MS)], 60.0)
    assert weights([(0, 0)], 0.01) == [0.0]
    assert math.isfinite(weights([(3, IN_2030_MS)], 14.0)[0])
