"""After any decisions in any order, something is served, and nothing by accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.generations import (
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Canary,
    Current,
    Experiment,
    Outcome,
    Served,
)
from contracts.pointer import (
    UndecidableError,
    about,
    compared,
    in_canary,
    named,
    on_trial,
    only,
    promoted,
    rolled_back,
    served_generations,
    served_to,
    serving,
    variant_of,
    weighted,
    withdrawn,
)

KEEP = 2


def made(generation: str) -> Served:
    return Served(generation, "cosine", "user-knn")


a, b, c = map(made, ("g1", "g2", "g3"))


def serving_all(*generations: str, keep: int = KEEP) -> Current:
    current = Current(1, {})
    for generation in generations:
        current = serving(current, DEFAULT_VARIANT, made(generation), keep)
    return current


def default_of(current: Current) -> str:
    return current.variants[DEFAULT_VARIANT].generation


decisions = st.lists(
    st.sampled_from(["publish", "try", "promote", "withdraw", "roll back", "steep", "only"])
)


@given(decisions)
def test_after_any_decisions_the_default_variant_is_served_and_no_more_than_asked_is_kept(
    wanted: list[str],
) -> None:
    current = serving_all("g")
    published = ["g"]
    for n, what in enumerate(wanted):
        before = current
        fresh = made(f"g{n}")
        try:
            current = {
                "publish": lambda c, g=fresh: serving(c, DEFAULT_VARIANT, g, KEEP),
                "try": lambda c, g=fresh: on_trial(c, Canary(g, 0.1, 0, 1)),
                "promote": lambda c: promoted(c, KEEP),
                "withdraw": withdrawn,
                "roll back": rolled_back,
                "steep": lambda c, g=fresh: serving(c, "steep", g, KEEP),
                "only": lambda c: only(c, ()),
            }[what](current)
        except UndecidableError:
            assert current == before
            continue
        if what in {"publish", "promote"}:
            published.append(default_of(current))
        assert default_of(current) in published
        assert len(current.previous) <= KEEP
        assert {served.generation for served in current.previous} <= set(published)
        assert default_of(current) not in {served.generation for served in current.previous}
        assert len(named(current)) <= 2 + 1 + KEEP
        released = what in {"publish", "try", "promote"}
        assert current.held == (what == "roll back" or (before.held and not released))


def test_a_decision_is_about_the_generation_that_it_names() -> None:
    trial = on_trial(serving_all("g1", "g2"), Canary(made("g3"), 0.1, 0, 1))
    for current, expected in ((trial, "g3"), (trial, None), (serving_all("g2"), "g2")):
        assert about(current, expected) is current
    for current, expected, state in (
        (trial, "g2", "g2 is expected, but g3 is on trial"),
        (promoted(trial, KEEP), "g4", "g4 is expected, but g3 is served, without a canary"),
        (Current(1, {}), "g1", "g1 is expected, but nothing is served"),
    ):
        with pytest.raises(UndecidableError, match=state):
            about(current, expected)
    with pytest.raises(UndecidableError, match="nothing is served yet"):
        on_trial(Current(1, {}), Canary(a, 0.1, 0, 1))
    with pytest.raises(UndecidableError, match="no canary is on trial"):
        promoted(serving_all("g1"), KEEP)


def test_what_an_experiment_began_with_is_kept_until_its_variants_are_compared() -> None:
    current = serving(serving_all("g1", keep=0), "steep", made("s1"), 0)
    spring = Experiment("spring", {"default": 1, "steep": 1, "none": 0}, 0, 1)
    current = weighted(current, spring)
    for variant, generation in (("default", "g2"), ("steep", "s2"), ("default", "g3")):
        current = serving(current, variant, made(generation), 0)
    assert named(current) == {"g1", "s1", "g3", "s2"}
    outcomes = [Outcome("steep", None)]
    assert named(weighted(current, None)) == named(compared(current, outcomes)) == {"g3", "s2"}
    assert compared(current, outcomes).experiment == replace(spring, outcomes=outcomes)
    assert compared(weighted(current, None), outcomes) == weighted(current, None)


USERS = [f"user {n}" for n in range(20_000)]
TOLERANCE = 0.015
"""Over four standard deviations of a share of 20,000 users: 4 x sqrt(0.25 / 20,000) is 0.0141."""
NAMES = ["default", "ease", "rp3", "popular"]


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
    experiment = Experiment("spring", {"default": 1, "ease": 1})
    current = Current(1, {"default": a, "ease": b}, experiment, Canary(c, 0.2, 0, 1))
    found = [served_to(user, current) for user in USERS]
    assert found.count((CANARY_VARIANT, c)) / len(USERS) == pytest.approx(0.1, abs=TOLERANCE)
    without = Current(1, current.variants, experiment)
    for user, now in zip(USERS, found, strict=True):
        before = served_to(user, without)
        assert now == before or (before == (DEFAULT_VARIANT, a) and now == (CANARY_VARIANT, c))


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


def test_a_variant_that_is_not_served_leaves_its_users_to_the_others() -> None:
    experiment = Experiment("spring", {"default": 1, "ease": 1, "gone": 2})
    found = [variant_of(user, experiment, {"default", "ease"}) for user in USERS]
    assert found == spread({"default": 1.0, "ease": 1.0})
    assert variant_of("ABC", Experiment("spring", {"gone": 1}), {"default"}) == DEFAULT_VARIANT
    assert variant_of("ABC", Experiment("spring", {}), {"default"}) == DEFAULT_VARIANT


def test_without_an_experiment_or_a_user_the_default_variant_is_served() -> None:
    assert served_to("ABC", Current(1, {"default": a, "ease": b})) == (DEFAULT_VARIANT, a)
    experiment, canary = Experiment("x", {"ease": 1}), Canary(c, 1, 0, 1)
    everyone_elsewhere = Current(1, {"default": a, "ease": b}, experiment, canary)
    assert served_to(None, everyone_elsewhere) == (DEFAULT_VARIANT, a)
    assert served_to("ABC", everyone_elsewhere) == ("ease", b)
    assert served_to("ABC", Current(1, {})) is None


def test_groups_are_the_same_in_every_process_and_version() -> None:
    experiment = Experiment("spring", {"default": 9, "ease": 1})
    in_ease = [n for n in range(25) if variant_of(f"u{n}", experiment, NAMES) == "ease"]
    assert in_ease == [13, 19, 22, 24]


def test_what_is_kept_to_be_rolled_back_to_is_served_to_nobody() -> None:
    variants = {"default": a, "ease": b}
    current = Current(1, variants, canary=Canary(c, 0.1, 0, 1), previous=[made("g0")])
    assert served_generations(current) == {"g1", "g2", "g3"}
