"""The gate that tries each new generation of the default variant on some of its users first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.decisions import BY_RULES, Decision, What
from contracts.figures import Comparison, Outcome
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Canary, Current
from contracts.pointer import promoted, withdrawn
from contracts.variants import served_to
from trainer.experiments.ndcg import Period
from trainer.experiments.periods import Periods, described, figures_of
from trainer.experiments.rules import CanaryRules, Rule
from trainer.generations.decisions import note, read_decisions
from trainer.generations.gate import AccuracyGate, Ruling, Serve, Try, Waiting
from trainer.generations.publication import (
    SupersededError,
    change_current,
    end_unnamed,
    read_current,
)
from trainer.generations.report import Report


class _DecidedError(Exception):
    """Someone else decided on the canary in the meantime."""


@dataclass(frozen=True, slots=True)
class CanaryGate:
    """Serves to some what the rule on accuracy lets pass, and to all what their users show."""

    accuracy: AccuracyGate
    rules: CanaryRules
    periods: Periods
    keep: int
    """earlier generations that can be rolled back to"""
    fence: int
    """the fencing token of the lock that the run holds"""
    now: Callable[[], datetime]

    def waiting(self) -> Waiting | None:
        """Decide on the canary when its period is over; return what a run has to wait for.

        Raises:
            SupersededError: another trainer took over.
        """
        current = read_current(self.periods.store, self.periods.keyspace)
        if current is not None and current.canary is not None:
            if self._ms() < current.canary.until_ms:
                return Waiting.ON_TRIAL
            self._decide(current, current.canary)
        return Waiting.RESTING if self._rests() else None

    def decide(self, report: Report) -> Ruling:
        """Return that a generation is to be tried, unless nothing is served, or it is rejected."""
        ruling = self.accuracy.decide(report)
        current = read_current(self.periods.store, self.periods.keyspace)
        is_tried = report.variant == DEFAULT_VARIANT and bool(current and current.variants)
        if ruling == Serve() and is_tried:
            return Try(self.rules.share, self.rules.minutes)
        return ruling

    def _decide(self, current: Current, canary: Canary) -> None:
        served = current.variants[DEFAULT_VARIANT]
        started = {DEFAULT_VARIANT: served, CANARY_VARIANT: canary.served}

        def variant_of(user: str) -> str | None:
            shown = served_to(user, current)
            return shown[0] if shown else None

        period = Period(canary.served.generation, canary.since_ms, started, variant_of)
        (outcome,) = self.periods.outcomes(period, self._ms())
        what, why = self._verdict(outcome)

        def decided(now: Current) -> Current:
            if now.fence > self.fence:
                raise SupersededError(f"another trainer judges {canary.served.generation}")
            if now.canary != canary:
                raise _DecidedError
            return promoted(now, self.keep) if what == "promoted" else withdrawn(now)

        store, keyspace = self.periods.store, self.periods.keyspace
        try:
            before, after = change_current(store, keyspace, decided)
        except _DecidedError:
            return
        end_unnamed(store, keyspace, before, after)
        decision = Decision(
            at=self.now().isoformat(),
            generation=canary.served.generation,
            variant=CANARY_VARIANT,
            what=what,
            why=why,
            by=BY_RULES,
            figures=figures_of(outcome),
        )
        note(store, keyspace, decision)

    def _verdict(self, outcome: Outcome) -> tuple[What, str]:
        """Return what becomes of a canary, and why."""
        rules: list[tuple[Rule, Comparison | None]] = [(self.rules, outcome.ndcg)]
        if self.rules.clicks is not None:
            rules.append((self.rules.clicks, outcome.clicks))
        why = described(outcome)
        if not all(rule.is_met(found) for rule, found in rules):
            least = ", ".join(str(rule.users_least) for rule, _ in rules)
            return "withdrawn", f"too few users to compare, where {least} are needed: {why}"
        if any(rule.is_broken(found) for rule, found in rules):
            return "rolled back", why
        return "promoted", why

    def _rests(self) -> bool:
        latest = read_decisions(self.periods.store, self.periods.keyspace, 1)
        if not latest or (latest[0].what, latest[0].by) != ("rolled back", BY_RULES):
            return False
        over = datetime.fromisoformat(latest[0].at) + timedelta(minutes=self.rules.rest_minutes)
        return self.now() < over

    def _ms(self) -> int:
        return round(self.now().timestamp() * 1000)
