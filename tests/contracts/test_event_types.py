"""Types of events and their weights, as the setting has them, and the affinities made of them."""

import math
import random
import re
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
from contracts.event_types import BUILT_IN, changed, describe_event_weights, parse_event_weights
from contracts.times import DAY_MS, MAX_TS_MS
from infra.local.paths import PROJECT

type_names = st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True).filter(
    lambda name: name not in ("erased", "trade")
)
assigned = st.dictionaries(type_names, st.floats(-1e6, 1e6), max_size=8)


def text_of(given_weights: dict[str, float]) -> str:
    return ", ".join(f"{name} = {weight!r}" for name, weight in given_weights.items())


@given(own=assigned)
def test_what_is_assigned_is_added_or_replaces_and_the_description_says_the_same(
    own: dict[str, float],
) -> None:
    parsed = parse_event_weights(text_of(own))
    assert parsed == {**BUILT_IN, **own}
    assert parse_event_weights(describe_event_weights(parsed)) == parsed


@pytest.mark.parametrize(
    ("before", "now", "is_added"),
    [
        ("", "purchase=8", True),
        ("purchase=8", "refund=0,purchase=8", True),
        ("purchase=8", "", False),
        ("purchase=8", "purchase=9", False),
        ("", "view=2", False),
    ],
)
def test_only_new_types_leave_what_was_folded_as_it_is(
    before: str,
    now: str,
    is_added: bool,  # noqa: FBT001 (a parameter)
) -> None:
    of = {"affinity": "greatest"}
    found = changed(of | {"event_weights": before}, of | {"event_weights": now})
    assert found == ([] if is_added else ["event_weights"])


def test_binary_affinities_of_an_own_type_fit_the_built_in_type_that_it_has_become() -> None:
    binary = {"affinity": "binary"}
    assert changed(binary | {"event_weights": "watch=1"}, binary) == []
    assert changed(binary | {"event_weights": "watch=-1"}, binary) == ["event_weights"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("purchase", "'purchase': write TYPE=WEIGHT, for example purchase=8"),
        ("purchase=8=9", "'purchase=8=9': write TYPE=WEIGHT"),
        ("Purchase=8", "'Purchase' cannot be a type of event: use 1 to 40 of a-z"),
        ("erased=1", "'erased' cannot be a type of event"),
        (f"{'a' * 41}=1", "cannot be a type of event"),
        ("purchase=much", "purchase=much: the weight must be a number"),
        ("purchase=nan", "purchase=nan: use a weight from -1e6 to 1e6"),
        ("purchase=1e7", "purchase=1e7: use a weight from"),
        ("purchase=8,purchase=8", "purchase has two weights: remove one"),
        ("trade=0", "trade=0: use a weight above 0, as events without a type are trades"),
        (",".join(f"t{n}=1" for n in range(50)), "types of events: at most 50 are allowed"),
    ],
)
def test_a_wrong_assignment_is_named_with_the_remedy(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as raised:
        parse_event_weights(text)
    assert why in str(raised.value)


def test_the_page_has_a_button_for_each_built_in_type_and_knows_those_that_reject() -> None:
    code = (PROJECT / "web/state/event_types.js").read_text()
    buttons = re.search(r"KINDS = \{(.*?)\}", code, re.DOTALL)
    rejections = re.search(r"REJECTIONS = \[(.*?)\]", code)
    assert buttons
    assert rejections
    assert re.findall(r"(\w+):", buttons[1]) == [*BUILT_IN]
    assert re.findall(r"\w+", rejections[1]) == [name for name in BUILT_IN if BUILT_IN[name] <= 0]


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
