"""Data that breaks a rule, and generations that predict worse than what is served, are refused."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.generations import DEFAULT_VARIANT, HeldOut, Lead
from tests.trainer.setup import Affinities, Setup, broken_rules
from trainer.quality.checking import ACCURACY, KEPT_MIN, check_accuracy
from trainer.run.placing import Refusal
from trainer.settings import TrainerSettings
from trainer.settings_file import changed


def passes(lead: float, error: float, served: float = 0.4) -> bool:
    held_out = HeldOut(500, 0.4, 0.3, 0.5, 0.5, 0.9, Lead(served, lead, error))
    (rule,) = check_accuracy(held_out)
    assert rule.level == "hard"
    return rule.holds


def test_a_loss_beyond_the_limit_is_refused_if_it_is_beyond_chance() -> None:
    limit = (1 - KEPT_MIN) * 0.4
    assert not passes(-1.2 * limit, 0.1 * limit)
    assert passes(-1.2 * limit, 0.3 * limit)
    assert passes(-0.9 * limit, 0.1 * limit)
    assert passes(0.1, 0.01)


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
    (rule,) = (rule for rule in setup.report().quality if rule.rule == ACCURACY)
    return rule.holds


def test_a_generation_that_predicts_worse_is_refused_unless_asked_for(trained: Setup) -> None:
    before = trained.served()
    assert [trained.run(**WORSE) for _ in range(3)] == ["rejected"] * 3
    assert trained.served() == before
    refused, published = trained.decisions()
    assert (refused.what, published.what) == ("rejected", "published")
    assert refused.variant == DEFAULT_VARIANT
    assert refused.why.startswith("ndcg_kept: ")
    assert broken_rules("hard") == 1
    assert not trained.store.exists(trained.keys.model_lock())

    assert trained.run(asked=True, **WORSE) == "trained"
    assert trained.report().settings["cosine"]["popular_removed"] == 30
    assert not keeps_accuracy(trained)
    assert trained.decisions()[0].by == "person"


def refused_since(setup: Setup, variant: str = DEFAULT_VARIANT) -> Refusal:
    stored = setup.store.hget(setup.keys.model_refused(), variant)
    return msgspec.json.decode(str(stored), type=Refusal)


@pytest.mark.parametrize("stored", ["{", "null", '{"since":"2021-08-16T12:00:00","rule":"own"}'])
def test_a_refusal_that_cannot_be_read_is_none(trained: Setup, stored: str) -> None:
    trained.store.hset(trained.keys.model_refused(), DEFAULT_VARIANT, stored)
    assert trained.run(**WORSE) == "rejected"
    assert refused_since(trained).rule == ACCURACY


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
    assert refused_since(setup, "short").rule == ACCURACY
    assert (broken_rules("hard", "short"), broken_rules("hard")) == (1, 0)
    assert not setup.store.hexists(setup.keys.model_refused(), DEFAULT_VARIANT)

    path.write_text("")
    assert setup.run(variants=path) == "trained"
    assert not setup.store.exists(setup.keys.model_refused())


def lose(setup: Setup, item: int) -> None:
    """Lose a row, as with a node of a cluster."""
    setup.store.delete(setup.row_key(item))
    setup.store.srem(setup.items_key(item), item)


def count_own(setup: Setup, item: int, *, count: float) -> None:
    setup.store.hset(setup.row_key(item), str(item), count)


@pytest.fixture
def affinities(setup: Setup) -> Affinities:
    return setup.fill((np.random.default_rng(0).random((60, 12)) < 0.4) * 1.0)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lose, "items_kept"),
        (partial(count_own, count=-3), "below_zero"),
        (partial(count_own, count=0.5), "beyond"),
    ],
)
def test_data_that_breaks_a_hard_rule_is_rejected_and_reported(
    setup: Setup, affinities: Affinities, damage: Callable[[Setup, int], None], rule: str
) -> None:
    assert setup.run() == "trained"
    before = setup.served()
    setup.fill(affinities, 10)  # something has changed
    for item in range(100, 107):
        damage(setup, item)
    assert [setup.run() for _ in range(2)] == ["rejected", "rejected"]
    assert setup.served() == before
    decision, first = setup.decisions()
    assert (decision.what, decision.by, first.what) == ("rejected", "rules", "published")
    assert f"{rule}: " in decision.why
    assert broken_rules("hard")
    assert not setup.store.exists(setup.keys.model_lock())

    setup.fill(affinities, 11)  # it is put right
    assert setup.run() == "trained"
    assert broken_rules("hard") == 0
