"""Users of two variants are compared once, by the difference of their means."""

import msgspec
import numpy as np
import pytest

from contracts.affinities import HistoryEntry
from contracts.generations import DEFAULT_VARIANT, Comparison, Experiment, Outcome, Served
from contracts.keyspace import REPLACED_GENERATION_TTL_S
from contracts.pointer import serving, variant_of, weighted
from infra.local.process import free_port
from runtime.kafka.config import plain
from tests.trainer.judging.behaving import put_history, put_lists
from tests.trainer.setup import Setup
from trainer.generations.publication import change_current, publication
from trainer.judging import feedback
from trainer.judging.canary import Rule
from trainer.judging.comparison import figures_of
from trainer.judging.intervals import compare


def test_the_interval_is_that_of_welch() -> None:
    from scipy.stats import t  # takes a second, and each process collects all tests

    random = np.random.default_rng(0)
    one, other = random.random(40), random.random(300) * 0.5
    found = compare(one, other)
    assert found is not None
    of_one, of_other = one.var(ddof=1) / 40, other.var(ddof=1) / 300
    freedom = (of_one + of_other) ** 2 / (of_one**2 / 39 + of_other**2 / 299)
    half = t.ppf(0.975, freedom) * (of_one + of_other) ** 0.5
    difference = one.mean() - other.mean()
    expected = Comparison(40, 300, one.mean(), other.mean(), difference - half, difference + half)
    assert msgspec.structs.astuple(found) == pytest.approx(
        msgspec.structs.astuple(expected), abs=1e-6
    )


@pytest.mark.parametrize(
    ("high", "mean", "is_broken"),
    [(-0.01, 0.4, True), (0.01, 0.4, False), (-0.001, 0.495, False), (-0.01, 0.55, False)],
    ids=["a loss", "maybe chance", "a loss that is allowed", "a gain"],
)
def test_a_rule_is_broken_by_a_loss_beyond_what_is_allowed_and_beyond_chance(
    high: float, mean: float, *, is_broken: bool
) -> None:
    found = Comparison(100, 100, mean, 0.5, -0.2, high)
    assert Rule(loss_max=0.02).is_broken(found) == is_broken
    assert not Rule().is_broken(None)


@pytest.fixture
def begun(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """An experiment that is over, of users who took 7; what began it is no longer served."""
    monkeypatch.setattr(feedback, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(feedback, "PAUSE_S", 0)
    setup.fill(np.ones((4, 3)))
    experiment = Experiment("spring", {DEFAULT_VARIANT: 1, "steep": 1}, 1_000_000, 2_000_000)
    for generation, variant in (("g1", DEFAULT_VARIANT), ("s1", "steep")):
        with publication(setup.store, setup.keys, generation, 0):
            pass
        put_lists(setup, generation, {1: {7 if variant == "steep" else 8: 1}})
        setup.store.sadd(
            setup.keys.model_keys(generation), setup.keys.model_similar(generation, "1")
        )
        served = Served(generation, "cosine", "none")
        change_current(setup.store, setup.keys, lambda c, v=variant, s=served: serving(c, v, s, 0))
    change_current(setup.store, setup.keys, lambda current: weighted(current, experiment))
    for n in range(60):
        entries = {1: HistoryEntry(1, 500_000), 7: HistoryEntry(1, 1_500_000)}
        put_history(setup, f"user {n}", entries)
    kafka = plain(f"127.0.0.1:{free_port()}")
    settings = setup.settings.model_copy(update={"kafka": kafka, "user_model": "none"})
    return Setup(setup.store, setup.keys, settings)


def test_an_experiments_variants_are_compared_once_and_decide_nothing(begun: Setup) -> None:
    experiment = begun.current.experiment
    assert experiment is not None
    in_steep = [variant_of(f"user {n}", experiment, experiment.started) for n in range(60)].count(
        "steep"
    )
    assert begun.run() == "trained"
    decision = begun.decisions()[1]
    assert (decision.what, decision.variant, decision.generation, decision.by) == (
        *("compared", "steep", "s1", "rules"),
    )
    assert decision.why.startswith(f"experiment spring: nDCG@10 1.0000 of {in_steep} users, 0.0000")
    found = Comparison(in_steep, 60 - in_steep, 1, 0, 1, 1)
    outcome = Outcome("steep", found)
    assert decision.figures == figures_of(outcome)
    after = begun.current.experiment
    assert after == msgspec.structs.replace(experiment, started={}, outcomes=[outcome])
    for generation in ("g1", "s1"):
        ttl = begun.store.ttl(begun.keys.model_similar(generation, "1"))
        assert 0 < ttl <= REPLACED_GENERATION_TTL_S
    begun.something_happens()
    assert begun.run() == "trained"
    assert [d.what for d in begun.decisions()].count("compared") == 1
