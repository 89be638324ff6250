"""After any decisions in any order, something is served, and nothing by accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.figures import Outcome
from contracts.generations import DEFAULT_VARIANT, Canary, Current, Experiment, Served
from contracts.pointer import (
    UndecidableError,
    about,
    compared,
    named,
    on_trial,
    only,
    promoted,
    rolled_back,
    serving,
    weighted,
    withdrawn,
)

KEEP = 2


def made(generation: str) -> Served:
    return Served(generation, "cosine", "user-knn")


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


def test_rolling_back_goes_one_generation_back_at_a_time_until_none_is_kept() -> None:
    current = serving_all("g1", "g2", "g3", "g4")
    assert [served.generation for served in current.previous] == ["g3", "g2"]
    current = rolled_back(current)
    assert (default_of(current), current.held) == ("g3", True)
    current = rolled_back(current)
    assert default_of(current) == "g2"
    with pytest.raises(UndecidableError, match="KEEP_GENERATIONS"):
        rolled_back(current)


def test_rolling_back_takes_the_canary_first() -> None:
    current = rolled_back(on_trial(serving_all("g1", "g2"), Canary(made("g3"), 0.1, 0, 1)))
    assert (default_of(current), current.canary, current.held) == ("g2", None, True)


def test_a_promoted_canary_can_be_rolled_back() -> None:
    current = promoted(on_trial(serving_all("g1"), Canary(made("g2"), 0.1, 0, 1)), KEEP)
    assert (default_of(current), current.canary) == ("g2", None)
    assert default_of(rolled_back(current)) == "g1"


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


def test_there_is_no_canary_before_anything_is_served() -> None:
    with pytest.raises(UndecidableError, match="nothing is served yet"):
        on_trial(Current(1, {}), Canary(made("g1"), 0.1, 0, 1))
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


def test_variants_that_are_not_served_have_no_users() -> None:
    with pytest.raises(UndecidableError, match="ease, steep is not served: name it in VARIANTS"):
        weighted(serving_all("g1"), Experiment("spring", {"default": 1, "steep": 1, "ease": 2}))


def test_nothing_is_kept_unless_asked_for() -> None:
    current = serving_all("g1", "g2", keep=0)
    assert current == Current(1, {DEFAULT_VARIANT: made("g2")})


def test_other_variants_and_weights_are_left_alone() -> None:
    current = serving(serving_all("g1"), "steep", made("s1"), KEEP)
    current = weighted(current, Experiment("spring", {"default": 1, "steep": 1}))
    experiment = current.experiment
    current = serving(current, DEFAULT_VARIANT, made("g2"), KEEP)
    assert current.variants["steep"] == made("s1")
    assert current.experiment == experiment
    assert weighted(only(current, ()), None).variants.keys() == {DEFAULT_VARIANT}
