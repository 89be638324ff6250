"""Bodies that request recommendations."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.problems import INVALID_REQUEST, Problem
from api.recommendations.bodies import (
    MAX_ITEMS,
    MAX_USERS,
    WeightedItem,
    history_of_items,
    parse_for_items,
    parse_for_users,
)
from contracts.times import DAY_MS

ONE = {"instrument_id": 4}
items = st.lists(
    st.builds(WeightedItem, st.integers(0, 9), st.integers(1, 9).map(float)),
    min_size=1,
    max_size=20,
)


@given(items)
def test_weights_are_added_and_the_first_named_are_the_most_recent(
    given_items: list[WeightedItem],
) -> None:
    history = history_of_items(given_items)
    for item, entry in history.items():
        assert entry.r == sum(one.weight for one in given_items if one.instrument_id == item)
    in_order = sorted(history, key=lambda item: -history[item].t)
    assert in_order == list(dict.fromkeys(one.instrument_id for one in given_items))


def test_a_longest_list_is_of_one_age() -> None:
    history = history_of_items([WeightedItem(item) for item in range(MAX_ITEMS)])
    assert max(-entry.t for entry in history.values()) < DAY_MS / 100_000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"items": []}, "items"),
        ({"items": [ONE] * (MAX_ITEMS + 1)}, "items"),
        ({"items": [{"instrument_id": -1}]}, "items[0].instrument_id"),
        ({"items": [ONE | {"weight": 0}]}, "items[0].weight"),
        ({"items": [ONE], "n": 101}, "n"),
        ({"items": [ONE], "offset": 901}, "offset"),
        ({"items": [ONE], "exclude": list(range(1001))}, "exclude"),
        ({"items": [ONE], "category": ["a b"]}, "category[0]"),
        ({"items": [ONE], "exlude": []}, "exlude"),
        ([], "body"),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_by_its_field(body: Any, field: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_for_items(json.dumps(body).encode())
    assert refused.value.kind is INVALID_REQUEST
    assert refused.value.members["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("users", "field"),
    [
        ([], "user_ids"),
        (["u"] * (MAX_USERS + 1), "user_ids"),
        (["ABC", ""], "user_ids[1]"),
        (["ABC", "\u00e9" * 65], "user_ids[1]"),
    ],
)
def test_users_that_break_a_rule_are_refused(users: list[str], field: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_for_users(json.dumps({"user_ids": users}).encode())
    assert refused.value.members["errors"][0]["field"] == field
