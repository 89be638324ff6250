"""What a run does with damaged data: nothing is made of it, and what is served stays."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.trainer.setup import Affinities, Setup, broken_rules
from trainer.quality.checking import Checked


def checked(setup: Setup) -> dict[str, Checked]:
    return {rule.rule: rule for rule in setup.report().quality}


def lose(setup: Setup, items: range) -> None:
    """Lose rows, as with a node of a cluster."""
    for item in items:
        setup.store.delete(setup.row_key(item))
        setup.store.srem(setup.items_key(item), item)


def turn_negative(setup: Setup, items: range) -> None:
    for item in items:
        setup.store.hset(setup.row_key(item), str(item), -3)


def lose_users(setup: Setup, items: range) -> None:
    for item in items:
        setup.store.hset(setup.row_key(item), str(item), 0.5)


@pytest.fixture
def affinities(setup: Setup) -> Affinities:
    return setup.fill((np.random.default_rng(0).random((60, 12)) < 0.4) * 1.0)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [(lose, "items_kept"), (turn_negative, "below_zero"), (lose_users, "beyond")],
)
def test_data_that_breaks_a_hard_rule_is_rejected_and_reported(
    setup: Setup, affinities: Affinities, damage: Callable[[Setup, range], None], rule: str
) -> None:
    assert setup.run() == "trained"
    before = setup.served()
    setup.fill(affinities, 10)  # something has changed
    damage(setup, range(100, 107))
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


def test_a_popularity_shift_is_reported_and_does_not_stop_publication(
    setup: Setup, affinities: Affinities
) -> None:
    assert setup.run() == "trained"
    assert checked(setup)["popularity_shift"].value == 0
    others = np.zeros_like(affinities)
    others[:, :2], others[:2] = 1, 1
    setup.fill(others, 10)
    assert setup.run() == "trained"
    shift = checked(setup)["popularity_shift"]
    assert (shift.level, shift.holds) == ("soft", False)
    assert shift.value > setup.settings.quality.popularity_shift_max
    assert broken_rules("soft") == 1
