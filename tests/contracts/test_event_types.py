"""Types of events and their weights, as the setting has them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event_types import BUILT_IN, changed, describe_event_weights, parse_event_weights
from infra.local.paths import PROJECT

names = st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True).filter(
    lambda name: name not in ("erased", "trade")
)
weights = st.dictionaries(names, st.floats(-1e6, 1e6), max_size=8)


def text_of(given_weights: dict[str, float]) -> str:
    return ", ".join(f"{name} = {weight!r}" for name, weight in given_weights.items())


@given(own=weights)
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
