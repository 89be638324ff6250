"""Users are assigned to variants by weight, and the assignment is stable."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.feedback import NAME
from contracts.generations import (
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Canary,
    Current,
    Experiment,
    Served,
)
from contracts.variants import (
    in_canary,
    served_generations,
    served_to,
    variant_names,
    variant_of,
)

USERS = [f"user {n}" for n in range(20_000)]
TOLERANCE = 0.015
"""Over four standard deviations of a share of 20,000 users: 4 x sqrt(0.25 / 20,000) is 0.0141."""
NAMES = ["default", "ease", "rp3", "popular"]

a, b, c = (Served(generation, "cosine", "user-knn") for generation in ("g1", "g2", "g3"))
weights_of = st.dictionaries(st.sampled_from(NAMES), st.floats(0.01, 100), min_size=1)


def spread(weights: dict[str, float], name: str = "spring") -> list[str]:
    return [variant_of(user, Experiment(name, weights), NAMES) for user in USERS]


@pytest.mark.parametrize(
    "weights",
    [
        {"default": 1.0, "ease": 1.0},
        {"default": 95.0, "ease": 5.0},
        {"default": 0.2, "ease": 0.3, "rp3": 0.5},
        {"default": 1.0, "ease": 1.0, "rp3": 1.0, "popular": 1.0},
        {"default": 0.0, "ease": 3.0},
    ],
)
def test_each_variant_has_the_share_of_its_weight(weights: dict[str, float]) -> None:
    found = spread(weights)
    for name in NAMES:
        share = weights.get(name, 0) / sum(weights.values())
        assert found.count(name) / len(USERS) == pytest.approx(share, abs=TOLERANCE)


def test_a_canary_has_its_share_of_the_default_variants_users() -> None:
    current = Current(
        1,
        {"default": a, "ease": b},
        Experiment("spring", {"default": 1, "ease": 1}),
        Canary(c, 0.2, 0, 1),
    )
    found = [served_to(user, current) for user in USERS]
    assert found.count((CANARY_VARIANT, c)) / len(USERS) == pytest.approx(0.1, abs=TOLERANCE)
    without = Current(1, current.variants, current.experiment)
    for user, now in zip(USERS, found, strict=True):
        before = served_to(user, without)
        assert now == before or (before == (DEFAULT_VARIANT, a) and now == (CANARY_VARIANT, c))


def test_of_two_variants_users_move_only_into_the_one_that_grows() -> None:
    before, after = spread({"default": 9.0, "ease": 1}), spread({"default": 8.0, "ease": 2})
    moved = {pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]}
    assert moved == {("default", "ease")}


@given(weights_of, st.floats(0.001, 1000), st.text(min_size=1))
def test_only_the_ratios_of_weights_matter(
    weights: dict[str, float], factor: float, user: str
) -> None:
    scaled = {name: weight * factor for name, weight in weights.items()}
    assert variant_of(user, Experiment("x", scaled), NAMES) == variant_of(
        user, Experiment("x", weights), NAMES
    )


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_canary_keeps_the_users_of_a_smaller_one(
    user: str, one: float, other: float
) -> None:
    small, large = sorted((one, other))
    assert in_canary(user, "g2", small) <= in_canary(user, "g2", large)
    assert not in_canary(user, "g2", 0)
    assert in_canary(user, "g2", 1)


def test_another_experiment_has_other_groups_that_do_not_depend_on_these() -> None:
    weights = {"default": 1.0, "ease": 1.0}
    both = zip(spread(weights), spread(weights, "summer"), strict=True)
    share = sum(one == other == "ease" for one, other in both) / len(USERS)
    assert share == pytest.approx(0.25, abs=TOLERANCE)


def test_two_canaries_meet_different_users() -> None:
    share = sum(in_canary(u, "g1", 0.5) and in_canary(u, "g2", 0.5) for u in USERS) / len(USERS)
    assert share == pytest.approx(0.25, abs=TOLERANCE)


def test_a_variant_that_is_not_served_leaves_its_users_to_the_others() -> None:
    experiment = Experiment("spring", {"default": 1, "ease": 1, "gone": 2})
    found = [variant_of(user, experiment, {"default", "ease"}) for user in USERS]
    assert found == spread({"default": 1.0, "ease": 1.0})
    assert variant_of("ABC", Experiment("spring", {"gone": 1}), {"default"}) == DEFAULT_VARIANT
    assert variant_of("ABC", Experiment("spring", {}), {"default"}) == DEFAULT_VARIANT


def test_without_an_experiment_or_a_user_the_default_variant_is_served() -> None:
    assert served_to("ABC", Current(1, {"default": a, "ease": b})) == (DEFAULT_VARIANT, a)
    everyone_elsewhere = Current(
        1, {"default": a, "ease": b}, Experiment("x", {"ease": 1}), Canary(c, 1, 0, 1)
    )
    assert served_to(None, everyone_elsewhere) == (DEFAULT_VARIANT, a)
    assert served_to("ABC", everyone_elsewhere) == ("ease", b)
    assert served_to("ABC", Current(1, {})) is None


def test_groups_are_the_same_in_every_process_and_version() -> None:
    experiment = Experiment("spring", {"default": 9, "ease": 1})
    in_ease = [n for n in range(25) if variant_of(f"u{n}", experiment, NAMES) == "ease"]
    assert in_ease == [13, 19, 22, 24]


def test_names_can_stand_in_a_request_id() -> None:
    current = Current(1, {"default": a, "ease": b}, canary=Canary(c, 0.1, 0, 1))
    assert variant_names(current) == ["default", "ease", "canary"]
    assert all(re.fullmatch(NAME, name) for name in (DEFAULT_VARIANT, CANARY_VARIANT))


def test_what_is_kept_to_be_rolled_back_to_is_served_to_nobody() -> None:
    current = Current(1, {"default": a, "ease": b}, previous=[c])
    assert served_generations(current) == {"g1", "g2"}
    current = Current(1, {"default": a}, canary=Canary(c, 0.1, 0, 1), previous=[b])
    assert served_generations(current) == {"g1", "g3"}
