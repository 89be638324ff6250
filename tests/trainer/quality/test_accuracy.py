"""A generation that predicts much worse than the served one is refused, but not forever."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.decisions import Decision
from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import DECISIONS_KEPT
from tests.trainer.setup import Affinities, Setup, broken_rules
from trainer.judging.found import HeldOut
from trainer.quality.accuracy import (
    KEPT_AGAIN,
    KEPT_MIN,
    REFUSED_AT_MOST,
    RULE,
    Refusal,
    check_accuracy,
)
from trainer.settings import TrainerSettings
from trainer.settings_file import changed

NOW = datetime(2021, 8, 16, 12, tzinfo=UTC)
NARROW = 0.001


def held_out(ndcg: float, half_width: float = NARROW) -> HeldOut:
    return HeldOut(500, ndcg, ndcg - half_width, ndcg + half_width, 0.5, 0.9)


def refusal(rule: str = RULE, hours_ago: float = 1) -> Refusal:
    return Refusal(NOW - timedelta(hours=hours_ago), rule)


def passes(ndcg: float, refused: Refusal | None = None, half_width: float = NARROW) -> bool:
    (rule,) = check_accuracy(held_out(ndcg, half_width), held_out(0.4), refused, NOW)
    assert rule.value == pytest.approx(ndcg / 0.4)
    assert rule.level == "hard"
    return rule.holds


def test_accuracy_below_the_limit_is_refused() -> None:
    assert not passes(0.79 * 0.4)
    assert passes(0.81 * 0.4)
    assert passes(0.5)


@given(st.lists(st.floats(0.01, 1), max_size=20))
def test_after_a_refusal_the_higher_limit_holds(kept: list[float]) -> None:
    refused = False
    for share in kept:
        lets_through = passes(share * 0.4, refusal() if refused else None)
        limit = KEPT_AGAIN if refused else KEPT_MIN
        assert lets_through == (share >= limit - 2 * NARROW / 0.4) or abs(share - limit) < 0.01
        refused = not lets_through


def test_only_a_refusal_for_this_rule_raises_the_limit() -> None:
    assert not passes(0.85 * 0.4, refusal())
    assert passes(0.85 * 0.4, refusal("beyond"))
    assert passes(0.85 * 0.4)


def test_a_loss_that_may_be_chance_passes() -> None:
    assert passes(0.3, half_width=0.11)
    assert not passes(0.3, half_width=0.09)
    assert passes(0.3, refusal(), half_width=0.11)


def test_a_refusal_of_hours_ends() -> None:
    assert not passes(0.1, refusal(hours_ago=5.9))
    assert passes(0.1, refusal(hours_ago=6))
    assert not passes(0.1, refusal("beyond", hours_ago=7))


def test_nothing_can_be_said_where_one_of_the_two_was_not_measured() -> None:
    for now, before in ((None, held_out(0.4)), (held_out(0.4), None), (held_out(0.4), held_out(0))):
        assert check_accuracy(now, before, None, NOW) == []


# Where no item may be in a list, nothing is predicted.
WORSE = {"cosine_popular_removed": 30}


@pytest.fixture
def kinds(setup: Setup) -> Affinities:
    """Half of the users have most of the even items, half most of the odd ones."""
    random = np.random.default_rng(0)
    same = np.arange(80)[:, np.newaxis] % 2 == np.arange(30) % 2
    return setup.fill((random.random((80, 30)) < np.where(same, 0.7, 0.02)) * 1.0)


@pytest.fixture
def settings(settings: TrainerSettings) -> TrainerSettings:
    return changed(settings, {"user_model": "none"})


@pytest.fixture
def trained(setup: Setup, kinds: Affinities) -> Setup:
    assert setup.run() == "trained"
    return setup


def keeps_accuracy(setup: Setup) -> bool:
    """Return whether the served generation meets the rule, by its report."""
    (rule,) = (rule for rule in setup.report().quality if rule.rule == RULE)
    return rule.holds


def test_a_publication_reports_the_hold_out(trained: Setup) -> None:
    found = trained.report().held_out
    assert found is not None
    (published,) = trained.decisions()
    assert published.figures == {
        "holdout_users": found.users,
        "ndcg": found.ndcg,
        "ndcg_low": found.low,
        "ndcg_high": found.high,
        "coverage": found.coverage,
        "personalization": found.personalization,
    }


def test_a_generation_that_predicts_worse_is_refused_and_what_is_served_stays(
    trained: Setup,
) -> None:
    before = trained.served()
    assert [trained.run(**WORSE) for _ in range(3)] == ["rejected"] * 3
    assert trained.served() == before
    refused, published = trained.decisions()
    assert (refused.what, published.what) == ("rejected", "published")
    assert refused.variant == DEFAULT_VARIANT
    assert refused.why.startswith("ndcg_kept: ")
    assert broken_rules("hard") == 1
    assert not trained.store.exists(trained.keys.model_lock())

    assert trained.run(asked=True) == "trained"  # it is put right
    assert keeps_accuracy(trained)


def test_a_requested_run_publishes_anyway_and_reports_it(trained: Setup) -> None:
    assert trained.run(**WORSE) == "rejected"
    assert trained.run(asked=True, **WORSE) == "trained"
    assert trained.report().settings["cosine"]["popular_removed"] == 30
    assert not keeps_accuracy(trained)
    assert trained.decisions()[0].by == "person"


def refused_since(setup: Setup, variant: str = DEFAULT_VARIANT) -> Refusal:
    stored = setup.store.hget(setup.keys.model_refused(), variant)
    return msgspec.json.decode(str(stored), type=Refusal)


def put_refusal(setup: Setup, refused: Refusal) -> None:
    """Let the default variant have been refused."""
    setup.store.hset(setup.keys.model_refused(), DEFAULT_VARIANT, msgspec.json.encode(refused))


def put_back(setup: Setup, by: timedelta) -> None:
    """Let the default variant have been refused for so much longer."""
    refused = refused_since(setup)
    put_refusal(setup, msgspec.structs.replace(refused, since=refused.since - by))


def test_what_was_refused_for_hours_is_published_though_data_was_bad_before(trained: Setup) -> None:
    put_refusal(trained, Refusal(NOW, "beyond"))
    assert trained.run(**WORSE) == "rejected"
    assert trained.decisions()[0].why.startswith("ndcg_kept: ")
    assert refused_since(trained).rule == RULE
    put_back(trained, REFUSED_AT_MOST)
    assert trained.run(**WORSE) == "trained"
    assert trained.report().settings["cosine"]["popular_removed"] == 30
    assert not trained.store.exists(trained.keys.model_refused())


def test_a_refusal_is_known_though_decisions_on_other_variants_came_after_it(
    trained: Setup,
) -> None:
    assert trained.run(**WORSE) == "rejected"
    other = Decision(NOW.isoformat(), "g9", "short", "published", "to all", "rules")
    decisions = trained.keys.model_decisions()
    trained.store.lpush(decisions, *[msgspec.json.encode(other)] * DECISIONS_KEPT)
    trained.store.ltrim(decisions, 0, DECISIONS_KEPT - 1)
    assert trained.run(**WORSE) == "rejected"
    assert {decision.what for decision in trained.decisions()} == {"published"}
    put_back(trained, REFUSED_AT_MOST)
    assert trained.run(**WORSE) == "trained"


@pytest.mark.parametrize("stored", ["{", "null", '{"since":"2021-08-16T12:00:00","rule":"own"}'])
def test_a_refusal_that_cannot_be_read_is_none(trained: Setup, stored: str) -> None:
    trained.store.hset(trained.keys.model_refused(), DEFAULT_VARIANT, stored)
    assert trained.run(**WORSE) == "rejected"
    assert refused_since(trained).rule == RULE


def test_a_variant_that_is_refused_keeps_no_other_one_waiting_nor_forgets_since_when(
    setup: Setup, kinds: Affinities, tmp_path: Path
) -> None:
    path = tmp_path / "variants.toml"
    path.write_text("[short]\nneighbors_per_item = 20\n")
    assert setup.run(variants=path) == "trained"
    default, short = setup.served(), setup.served("short")
    worse = "".join(f"{name} = {value}\n" for name, value in WORSE.items())
    path.write_text(f"[short]\n{worse}")
    for _ in range(2):
        setup.something_happens()
        assert setup.run(variants=path) == "trained"
    assert setup.served("short") == short
    assert setup.served().generation > default.generation
    refused = [d for d in setup.decisions() if d.what == "rejected"]
    assert [decision.variant for decision in refused] == ["short"]
    assert refused_since(setup, "short").rule == RULE
    assert not setup.store.hexists(setup.keys.model_refused(), DEFAULT_VARIANT)

    path.write_text("")
    assert setup.run(variants=path) == "trained"
    assert not setup.store.exists(setup.keys.model_refused())


def test_rules_on_data_that_are_broken_stay_counted_when_accuracy_passes(
    trained: Setup, kinds: Affinities
) -> None:
    trained.fill(np.vstack([kinds, kinds[:3]]), 10)
    assert trained.run(quality_popularity_shift_max=0) == "trained"
    assert broken_rules("soft") == 1
