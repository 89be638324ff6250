"""The state of a trial: what a run has to wait for, and how a canary ends."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from contracts.decisions import BY_RULES, Decision, Standing, What
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Canary, Current
from contracts.keyspace import Keyspace
from contracts.pointer import promoted, withdrawn
from contracts.times import MINUTE_MS
from runtime.kafka.config import KafkaConfig
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer.experiments.clicks import read_clicks
from trainer.experiments.rules import CanaryRules
from trainer.experiments.verdict import Verdict, judge
from trainer.generations.decisions import (
    note,
    note_standing,
    read_decisions,
    read_standing,
)
from trainer.generations.publication import (
    SupersededError,
    change_current,
    end_unnamed,
    read_current,
)
from trainer.stages import Stages

NOTES_BEFORE_DUE: Final = 10
"""How often interim results are noted before a canary is judged: measuring takes a while."""


class Waiting(StrEnum):
    """Why nothing is trained now."""

    HELD = "held"
    """an operator rolled back: `python -m trainer once` resumes training"""
    ON_TRIAL = "on trial"
    """a canary is not judged yet: its time is not over, or there is too little data"""
    RESTING = "resting"
    """a canary was rolled back a short while ago"""


class _DecidedError(Exception):
    """Someone else decided on the canary in the meantime."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is needed to judge."""

    store: Store
    keyspace: Keyspace
    rules: CanaryRules | None
    """None: whatever is new is served at once"""
    kafka: KafkaConfig
    keep: int
    """earlier generations that can be rolled back to"""
    fence: int
    """the fencing token of the lock that the run holds"""
    now: Callable[[], datetime]
    stages: Stages
    """of the run"""

    def step(self, *, notes: bool) -> Waiting | None:
        """Judge the canary if it is due, and return what a run has to wait for.

        Args:
            notes: whether to note interim results of a canary that is not due yet.

        Raises:
            SupersededError: another trainer took over.
        """
        current = read_current(self.store, self.keyspace)
        if current is not None and current.held:
            return Waiting.HELD
        if current is None or self.rules is None:
            return None
        canary = current.canary
        if canary is not None and not self._is_over(current, canary, self.rules, notes=notes):
            return Waiting.ON_TRIAL
        return Waiting.RESTING if self._rests(self.rules) else None

    def _is_over(
        self, current: Current, canary: Canary, rules: CanaryRules, *, notes: bool
    ) -> bool:
        """Judge the canary if possible, and return whether its trial is over."""
        age = self._ms() - canary.since_ms
        is_due = age >= rules.minutes * MINUTE_MS
        if not is_due and (not notes or self._noted_lately(canary, rules)):
            return False
        verdict = self._verdict(current, canary, rules)
        if is_due and verdict.enough:
            self._decide(canary, "rolled back" if verdict.worse else "promoted", verdict)
        elif age < rules.minutes_most * MINUTE_MS:
            self._note_interim(canary, rules, verdict)
            return False
        else:
            self._decide(canary, "withdrawn", verdict)
        return True

    def _noted_lately(self, canary: Canary, rules: CanaryRules) -> bool:
        noted = read_standing(self.store, self.keyspace)
        if noted is None or noted.generation != canary.served.generation:
            return False
        every = timedelta(minutes=rules.minutes / NOTES_BEFORE_DUE)
        return self.now() < datetime.fromisoformat(noted.at) + every

    def _note_interim(self, canary: Canary, rules: CanaryRules, verdict: Verdict) -> None:
        standing = Standing(
            generation=canary.served.generation,
            at=self.now().isoformat(),
            due_ms=canary.since_ms + round(rules.minutes * MINUTE_MS),
            until_ms=canary.since_ms + round(rules.minutes_most * MINUTE_MS),
            enough=verdict.enough,
            why=verdict.why,
            figures=verdict.figures,
        )
        note_standing(self.store, self.keyspace, standing)

    def _decide(self, canary: Canary, what: What, verdict: Verdict) -> None:
        def decided(now: Current) -> Current:
            if now.fence > self.fence:
                raise SupersededError(f"another trainer judges {canary.served.generation}")
            if now.canary != canary:
                raise _DecidedError
            return promoted(now, self.keep) if what == "promoted" else withdrawn(now)

        try:
            before, after = change_current(self.store, self.keyspace, decided)
        except _DecidedError:
            return
        end_unnamed(self.store, self.keyspace, before, after)
        note(
            self.store,
            self.keyspace,
            Decision(
                at=self.now().isoformat(),
                generation=canary.served.generation,
                variant=CANARY_VARIANT,
                what=what,
                why=verdict.why,
                by=BY_RULES,
                figures=verdict.figures,
            ),
        )

    def _verdict(self, current: Current, canary: Canary, rules: CanaryRules) -> Verdict:
        from trainer.experiments.accuracy import read_accuracy  # takes a second

        noted: Any = self.store.hgetall(self.keyspace.topics())
        accuracy = read_accuracy(
            self.store,
            self.keyspace,
            Topology.from_hash(noted).interactions,
            current,
            canary,
            rules.holdout.users_most,
            self.stages,
        )
        served = current.variants[DEFAULT_VARIANT]
        generations = (served.generation, canary.served.generation)
        clicks = read_clicks(self.kafka, generations, canary.since_ms, self._ms())
        return judge(accuracy, clicks, rules)

    def _rests(self, rules: CanaryRules) -> bool:
        latest = read_decisions(self.store, self.keyspace, 1)
        if not latest or (latest[0].what, latest[0].by) != ("rolled back", BY_RULES):
            return False
        over = datetime.fromisoformat(latest[0].at) + timedelta(minutes=rules.rest_minutes)
        return self.now() < over

    def _ms(self) -> int:
        return round(self.now().timestamp() * 1000)
