"""Compares the users of variants with those of the default one, once, at the end of a period.

The figure is the difference of the users' means: each user is one figure however much they did.
Clicks are reported, too, and decide only where a rule names them. The comparison of an experiment's
variants is noted and changes nothing. A period is fixed before it begins: looking repeatedly until
one is ahead finds a winner among equals (Johari et al., "Peeking at A/B tests", KDD 2017).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from contracts.generations import (
    BY_RULES,
    DEFAULT_VARIANT,
    Comparison,
    Current,
    Decision,
    Experiment,
    Outcome,
)
from contracts.keyspace import Keyspace
from contracts.messages import Floats
from contracts.pointer import compared, variant_of
from runtime.kafka.config import KafkaConfig
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer.generations.decisions import note
from trainer.generations.publication import change_current, end_unnamed
from trainer.judging.feedback import clicks_per_list, read_feedback
from trainer.judging.intervals import compare
from trainer.judging.period import Period, read_ndcg
from trainer.stages import Stages

MEASURES: Final = {"ndcg": "nDCG@10", "clicks": "clicks per list"}
"""The fields of an `Outcome`."""


@dataclass(frozen=True, slots=True)
class Periods:
    """What periods are read from."""

    store: Store
    keyspace: Keyspace
    kafka: KafkaConfig
    stages: Stages

    def outcomes(self, period: Period, now_ms: int) -> list[Outcome]:
        """Return what a period showed of each variant but the default one."""
        noted: Any = self.store.hgetall(self.keyspace.topics())
        partitions = Topology.from_hash(noted).interactions
        ndcg = read_ndcg(self.store, self.keyspace, partitions, period, self.stages)
        counted = partial(clicks_per_list, variants=ndcg.keys(), variant_of=period.variant_of)
        clicks = read_feedback(self.kafka, period.since_ms, now_ms, counted) or {}
        return [
            Outcome(variant, *(_compared(of, variant) for of in (ndcg, clicks)))
            for variant in ndcg
            if variant != DEFAULT_VARIANT
        ]


def described(outcome: Outcome) -> str:
    """Return what an outcome says.

    >>> described(Outcome("steep", Comparison(40, 400, 0.25, 0.5, -0.35, -0.15)))
    'nDCG@10 0.2500 of 40 users, 0.5000 of 400 of the default variant: -0.2500 (-0.3500 .. -0.1500)'
    """
    said = [
        f"{MEASURES[name]} {of.mean:.4f} of {of.users} users, {of.mean_default:.4f} of "
        f"{of.users_default} of the default variant: {of.mean - of.mean_default:+.4f} "
        f"({of.low:+.4f} .. {of.high:+.4f})"
        for name, of in _comparisons(outcome)
    ]
    return "; ".join(said) or "fewer than two users took anything new"


def figures_of(outcome: Outcome) -> dict[str, float]:
    """Return the figures of a decision on an outcome."""
    return {
        f"{name}_{field}": value
        for name, of in _comparisons(outcome)
        for field, value in msgspec.structs.asdict(of).items()
    }


def _comparisons(outcome: Outcome) -> Iterator[tuple[str, Comparison]]:
    found = ((name, getattr(outcome, name)) for name in MEASURES)
    yield from ((name, of) for name, of in found if of is not None)


def _compared(figures: dict[str, Floats], variant: str) -> Comparison | None:
    if DEFAULT_VARIANT not in figures:
        return None
    return compare(figures[variant], figures[DEFAULT_VARIANT])


def compare_variants(periods: Periods, experiment: Experiment, now: datetime) -> None:
    """Compare each variant with the default one, by what they served when the period began."""
    started = experiment.started
    if DEFAULT_VARIANT not in started:
        outcomes = []
    else:
        period = Period(
            experiment.name,
            experiment.since_ms,
            started,
            lambda user: variant_of(user, experiment, started),
        )
        outcomes = periods.outcomes(period, round(now.timestamp() * 1000))

    def decided(current: Current) -> Current:
        # Another one began in the meantime, or another trainer was faster.
        return compared(current, outcomes) if current.experiment == experiment else current

    before, after = change_current(periods.store, periods.keyspace, decided)
    end_unnamed(periods.store, periods.keyspace, before, after)
    if before == after:
        return
    for outcome in outcomes:
        decision = Decision(
            at=now.isoformat(),
            generation=started[outcome.variant].generation,
            variant=outcome.variant,
            what="compared",
            why=f"experiment {experiment.name}: {described(outcome)}",
            by=BY_RULES,
            figures=figures_of(outcome),
        )
        note(periods.store, periods.keyspace, decision)
