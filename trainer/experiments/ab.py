"""Compares the variants of an experiment when its period is over, and notes it: nothing changes."""

from datetime import datetime

from contracts.decisions import BY_RULES, Decision
from contracts.generations import DEFAULT_VARIANT, Current, Experiment
from contracts.pointer import compared
from contracts.variants import variant_of
from trainer.experiments.ndcg import Period
from trainer.experiments.periods import Periods, described, figures_of
from trainer.generations.decisions import note
from trainer.generations.publication import change_current, end_unnamed


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
