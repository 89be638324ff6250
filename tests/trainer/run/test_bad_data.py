"""What a run does with damaged data: nothing is made of it, and what is served stays."""

from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client import REGISTRY

from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from runtime.redis.stores import Store
from tests.trainer.conftest import PARTITIONS, Affinities, Fill
from tests.trainer.runs import report_of, run, served
from trainer.generations.decisions import read_decisions
from trainer.quality.checking import Checked
from trainer.settings import TrainerSettings


def broken(level: str) -> float:
    labels = {"variant": DEFAULT_VARIANT, "level": level}
    value = REGISTRY.get_sample_value("trainer_broken_rules", labels)
    assert value is not None
    return value


def checked(store: Store, keyspace: Keyspace) -> dict[str, Checked]:
    return {rule.rule: rule for rule in report_of(store, keyspace).quality}


def row(keyspace: Keyspace, item: int) -> str:
    return keyspace.cooc(instrument_partition(item, PARTITIONS), item)


def lose(store: Store, keyspace: Keyspace, items: range) -> None:
    """Lose rows, as with a node of a cluster."""
    for item in items:
        store.delete(row(keyspace, item))
        store.srem(keyspace.items(instrument_partition(item, PARTITIONS)), item)


def turn_negative(store: Store, keyspace: Keyspace, items: range) -> None:
    for item in items:
        store.hset(row(keyspace, item), str(item), -3)


def count_half(store: Store, keyspace: Keyspace, items: range) -> None:
    for item in items:
        for other in store.hkeys(row(keyspace, item)):
            if other not in {"off", str(item)}:
                store.hset(row(keyspace, item), other, 0.5)


@pytest.fixture
def affinities(fill: Fill) -> Affinities:
    return fill((np.random.default_rng(0).random((60, 12)) < 0.4) * 1.0)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [(lose, "items_kept"), (turn_negative, "below_zero"), (count_half, "unmatched")],
)
def test_data_that_breaks_a_hard_rule_is_rejected_and_reported(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    fill: Fill,
    affinities: Affinities,
    damage: Callable[[Store, Keyspace, range], None],
    rule: str,
) -> None:
    assert run(settings) == "trained"
    before = served(store, keyspace)
    fill(affinities, 10)  # something has changed
    damage(store, keyspace, range(100, 107))
    assert [run(settings) for _ in range(2)] == ["rejected", "rejected"]
    assert served(store, keyspace) == before
    decision, first = read_decisions(store, keyspace)
    assert (decision.what, decision.by, first.what) == ("rejected", "rules", "published")
    assert f"{rule}: " in decision.why
    assert broken("hard") > 0
    assert not store.exists(keyspace.model_lock())

    fill(affinities, 11)  # it is put right
    assert run(settings) == "trained"
    assert broken("hard") == 0


def test_a_popularity_shift_is_reported_and_does_not_stop_publication(
    store: Store, keyspace: Keyspace, settings: TrainerSettings, fill: Fill, affinities: Affinities
) -> None:
    assert run(settings) == "trained"
    assert checked(store, keyspace)["popularity_shift"].value == 0
    others = np.zeros_like(affinities)
    others[:, :2], others[:2] = 1, 1
    fill(others, 10)
    assert run(settings) == "trained"
    shift = checked(store, keyspace)["popularity_shift"]
    assert (shift.level, shift.holds) == ("soft", False)
    assert shift.value > settings.quality.popularity_shift_max
    assert broken("soft") == 1
