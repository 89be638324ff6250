"""Where a trial stands: what a run has to wait for, and what becomes of a canary in the end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from contracts.keyspace import CANARY_VARIANT, DEFAULT_VARIANT, Canary, Current, Keyspace
from runtime.stores import Store
from runtime.topology import Topology
from trainer.experiments.clicks import read_clicks
from trainer.experiments.rules import CanaryRules
from trainer.experiments.verdict import Verdict, judge
from trainer.generations.decisions import note, read_decisions
from trainer.generations.pointer import promoted, withdrawn
from trainer.generations.publication import (
    SupersededError,
    change_current,
    end_unnamed,
    read_current,
)
from trainer.generations.report import Decision


class Waiting(StrEnum):
    """Why nothing is trained now."""

    HELD = "held"
    """a person rolled back: `python -m trainer once` goes on"""
    ON_TRIAL = "on trial"
    """a canary is not judged yet"""
    RESTING = "resting"
    """a canary was rolled back a short while ago"""


class _DecidedError(Exception):
    """Someone else decided on the canary meanwhile."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is needed to judge."""

    store: Store
    keyspace: Keyspace
    rules: CanaryRules | None
    """None: whatever is new is served at once"""
    kafka: str
    """bootstrap servers"""
    keep: int
    """earlier generations that can be rolled back to"""
    fence: int
    """the fencing token of the lock that the run holds"""
    now: Callable[[], datetime]

    def step(self) -> Waiting | None:
        """Judge the canary if it is time, and return what a run has to wait for.

        Raises:
            SupersededError: another trainer took over.
        """
        current = read_current(self.store, self.keyspace)
        if current is not None and current.held:
            return Waiting.HELD
        if current is None or self.rules is None:
            return None
        if current.canary is not None:
            if self._ms() < current.canary.since_ms + self.rules.minutes * 60_000:
                return Waiting.ON_TRIAL
            self._decide(current, current.canary, self.rules)
        return Waiting.RESTING if self._rests(self.rules) else None

    def _decide(self, current: Current, canary: Canary, rules: CanaryRules) -> None:
        verdict = self._verdict(current, canary, rules)

        def decided(now: Current) -> Current:
            if now.fence > self.fence:
                raise SupersededError(f"another trainer judges {canary.served.generation}")
            if now.canary != canary:
                raise _DecidedError
            return promoted(now, self.keep) if verdict.promote else withdrawn(now)

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
                what="promoted" if verdict.promote else "rolled back",
                why=verdict.why,
                by="rules",
                figures=verdict.figures,
            ),
        )

    def _verdict(self, current: Current, canary: Canary, rules: CanaryRules) -> Verdict:
        from trainer.experiments.holdout import read_accuracy  # takes a second

        served = current.variants[DEFAULT_VARIANT]
        generations = (served.generation, canary.served.generation)
        noted: Any = self.store.hgetall(self.keyspace.topics())
        accuracy = read_accuracy(
            self.store,
            self.keyspace,
            Topology.from_hash(noted).interactions,
            generations,
            canary.since_ms,
            rules.holdout.users_most,
        )
        clicks = read_clicks(self.kafka, generations, canary.since_ms, self._ms())
        return judge(accuracy, clicks, rules)

    def _rests(self, rules: CanaryRules) -> bool:
        latest = read_decisions(self.store, self.keyspace, 1)
        if not latest or (latest[0].what, latest[0].by) != ("rolled back", "rules"):
            return False
        over = datetime.fromisoformat(latest[0].at) + timedelta(minutes=rules.rest_minutes)
        return self.now() < over

    def _ms(self) -> int:
        return round(self.now().timestamp() * 1000)
