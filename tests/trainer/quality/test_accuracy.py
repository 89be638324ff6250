"""A generation that predicts much worse than the served one is refused, but not forever."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from contracts.decisions import Decision
from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import DECISIONS_KEPT, Keyspace
from contracts.topics import INTERACTIONS
from runtime.redis.stores import Store
from tests.trainer.conftest import Affinities, Fill
from tests.trainer.runs import report_of, run, served
from trainer.generations.decisions import read_decisions
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
    assert passes(0.85 * 0.4, refusal("unmatched"))
    assert passes(0.85 * 0.4)


def test_a_loss_that_may_be_chance_passes() -> None:
    assert passes(0.3, half_width=0.11)
    assert not passes(0.3, half_width=0.09)
    assert passes(0.3, refusal(), half_width=0.11)


def test_a_refusal_of_hours_ends() -> None:
    assert not passes(0.1, refusal(hours_ago=5.9))
    assert passes(0.1, refusal(hours_ago=6))
    assert not passes(0.1, refusal("unmatched", hours_ago=7))


def test_nothing_can_be_said_where_one_of_the_two_was_not_measured() -> None:
    for now, before in ((None, held_out(0.4)), (held_out(0.4), None), (held_out(0.4), held_out(0))):
        assert check_accuracy(now, before, None, NOW) == []


@pytest.fixture
def kinds(fill: Fill) -> Affinities:
    """Half of the users have most of the even items, half most of the odd ones."""
    random = np.random.default_rng(0)
    same = np.arange(80)[:, np.newaxis] % 2 == np.arange(30) % 2
    return fill((random.random((80, 30)) < np.where(same, 0.7, 0.02)) * 1.0)


# Where no item may be in a list, nothing is predicted.
WORSE = {"cosine_popular_removed": 30}


@pytest.fixture
def folding(settings: TrainerSettings) -> TrainerSettings:
    return changed(settings, {"user_model": "none"})


def test_a_publication_reports_the_hold_out(
    store: Store, keyspace: Keyspace, folding: TrainerSettings, kinds: Affinities
) -> None:
    assert run(folding) == "trained"
    found = report_of(store, keyspace).held_out
    assert found is not None
    (published,) = read_decisions(store, keyspace)
    assert published.figures == {
        "holdout_users": found.users,
        "ndcg": found.ndcg,
        "ndcg_low": found.low,
        "ndcg_high": found.high,
        "coverage": found.coverage,
        "personalization": found.personalization,
    }


def test_a_generation_that_predicts_worse_is_refused_and_what_is_served_stays(
    store: Store, keyspace: Keyspace, folding: TrainerSettings, kinds: Affinities
) -> None:
    assert run(folding) == "trained"
    before = served(store, keyspace)
    worse = changed(folding, WORSE)
    assert [run(worse) for _ in range(3)] == ["rejected"] * 3
    assert served(store, keyspace) == before
    refused, published = read_decisions(store, keyspace)
    assert (refused.what, refused.variant, published.what) == (
        "rejected",
        DEFAULT_VARIANT,
        "published",
    )
    assert refused.why.startswith("ndcg_kept: ")
    assert (
        REGISTRY.get_sample_value(
            "trainer_broken_rules", {"variant": DEFAULT_VARIANT, "level": "hard"}
        )
        == 1
    )
    assert not store.exists(keyspace.model_lock())

    assert run(folding, only_if_changed=False) == "trained"  # it is put right
    assert {rule.rule: rule.holds for rule in report_of(store, keyspace).quality}["ndcg_kept"]


def test_a_requested_run_publishes_anyway_and_reports_it(
    store: Store, keyspace: Keyspace, folding: TrainerSettings, kinds: Affinities
) -> None:
    assert run(folding) == "trained"
    worse = changed(folding, WORSE)
    assert run(worse) == "rejected"
    assert run(worse, only_if_changed=False) == "trained"
    report = report_of(store, keyspace)
    assert report.settings["cosine"]["popular_removed"] == 30
    assert not {rule.rule: rule.holds for rule in report.quality}["ndcg_kept"]
    assert read_decisions(store, keyspace)[0].by == "person"


def refused_since(store: Store, keyspace: Keyspace, variant: str = DEFAULT_VARIANT) -> Refusal:
    stored = store.hget(keyspace.model_refused(), variant)
    return msgspec.json.decode(str(stored), type=Refusal)


def put_back(store: Store, keyspace: Keyspace, by: timedelta) -> None:
    """Let the default variant have been refused for so much longer."""
    refused = refused_since(store, keyspace)
    earlier = msgspec.structs.replace(refused, since=refused.since - by)
    store.hset(keyspace.model_refused(), DEFAULT_VARIANT, msgspec.json.encode(earlier))


def test_what_was_refused_for_hours_is_published_though_data_was_bad_before(
    store: Store, keyspace: Keyspace, folding: TrainerSettings, kinds: Affinities
) -> None:
    assert run(folding) == "trained"
    bad_data = Refusal(NOW, "unmatched")
    store.hset(keyspace.model_refused(), DEFAULT_VARIANT, msgspec.json.encode(bad_data))
    worse = changed(folding, WORSE)
    assert run(worse) == "rejected"
    assert read_decisions(store, keyspace)[0].why.startswith("ndcg_kept: ")
    assert refused_since(store, keyspace).rule == RULE
    put_back(store, keyspace, REFUSED_AT_MOST)
    assert run(worse) == "trained"
    assert report_of(store, keyspace).settings["cosine"]["popular_removed"] == 30
    assert not store.exists(keyspace.model_refused())


def test_a_refusal_is_known_though_decisions_on_other_variants_came_after_it(
    store: Store, keyspace: Keyspace, folding: TrainerSettings, kinds: Affinities
) -> None:
    assert run(folding) == "trained"
    worse = changed(folding, WORSE)
    assert run(worse) == "rejected"
    other = Decision(NOW.isoformat(), "g9", "short", "published", "to all", "rules")
    store.lpush(keyspace.model_decisions(), *[msgspec.json.encode(other)] * DECISIONS_KEPT)
    store.ltrim(keyspace.model_decisions(), 0, DECISIONS_KEPT - 1)
    assert run(worse) == "rejected"
    assert {decision.what for decision in read_decisions(store, keyspace)} == {"published"}
    put_back(store, keyspace, REFUSED_AT_MOST)
    assert run(worse) == "trained"


@pytest.mark.parametrize("stored", ["{", "null", '{"since":"2021-08-16T12:00:00","rule":"own"}'])
def test_a_refusal_that_cannot_be_read_is_none(
    store: Store,
    keyspace: Keyspace,
    folding: TrainerSettings,
    kinds: Affinities,
    stored: str,
) -> None:
    assert run(folding) == "trained"
    store.hset(keyspace.model_refused(), DEFAULT_VARIANT, stored)
    assert run(changed(folding, WORSE)) == "rejected"
    assert refused_since(store, keyspace).rule == RULE


def test_a_variant_that_is_refused_keeps_no_other_one_waiting_nor_forgets_since_when(
    store: Store,
    keyspace: Keyspace,
    folding: TrainerSettings,
    kinds: Affinities,
    tmp_path: Path,
) -> None:
    path = tmp_path / "variants.toml"
    path.write_text("[short]\nneighbors_per_item = 20\n")
    with_variants = folding.model_copy(update={"variants": path})
    assert run(with_variants) == "trained"
    before = {variant: served(store, keyspace, variant) for variant in (DEFAULT_VARIANT, "short")}
    worse = "".join(f"{name} = {value}\n" for name, value in WORSE.items())
    path.write_text(f"[short]\n{worse}")
    for _ in range(2):
        store.hincrby(keyspace.position(INTERACTIONS, 0), "next", 1)
        assert run(with_variants) == "trained"
    assert served(store, keyspace, "short") == before["short"]
    assert served(store, keyspace).generation > before[DEFAULT_VARIANT].generation
    refused = [d for d in read_decisions(store, keyspace) if d.what == "rejected"]
    assert [decision.variant for decision in refused] == ["short"]
    assert refused_since(store, keyspace, "short").rule == RULE
    assert not store.hexists(keyspace.model_refused(), DEFAULT_VARIANT)

    path.write_text("")
    assert run(with_variants) == "trained"
    assert not store.exists(keyspace.model_refused())


def test_rules_on_data_that_are_broken_stay_counted_when_accuracy_passes(
    store: Store,
    keyspace: Keyspace,
    folding: TrainerSettings,
    fill: Fill,
    kinds: Affinities,
) -> None:
    assert run(folding) == "trained"
    fill(np.vstack([kinds, kinds[:3]]), 10)
    shifted = changed(folding, {"quality_popularity_shift_max": 0})
    assert run(shifted) == "trained"
    assert (
        REGISTRY.get_sample_value(
            "trainer_broken_rules", {"variant": DEFAULT_VARIANT, "level": "soft"}
        )
        == 1
    )
