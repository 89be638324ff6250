"""The gate that tries each new generation of the default variant on some of its users first.

Its criteria are a TOML file, named in `CANARY_RULES`. Everything is optional, with these defaults:

```toml
share = 0.05       # of the default variant's users who get the new generation first
minutes = 60       # how long, before it is compared once with the served one
users_least = 100  # of either generation, who took anything new; with fewer it is withdrawn
loss_max = 0.02    # of nDCG@10, relative to the served generation
rest_minutes = 60  # after one was rolled back, before the next one is tried
```

A generation is rolled back if it loses more than `loss_max` and the 95 % interval of the difference
is below zero, and promoted otherwise: of equal ones, one in 40 is rolled back. A table `[clicks]`,
with its own `users_least` (100) and `loss_max` (0.05), adds the same rule on clicks per list.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.generations import (
    BY_RULES,
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Canary,
    Comparison,
    Current,
    Decision,
    Outcome,
    What,
)
from contracts.pointer import promoted, served_to, withdrawn
from trainer.generations.decisions import note, read_decisions
from trainer.generations.gate import AccuracyGate, Ruling, Serve, Try, Waiting
from trainer.generations.publication import (
    SupersededError,
    change_current,
    end_unnamed,
    read_current,
)
from trainer.generations.report import Report
from trainer.judging.comparison import Periods, described, figures_of
from trainer.judging.period import Period
from trainer.settings_file import SettingsFileError


class Rule(BaseModel):
    """A limit on what a generation may lose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users_least: int = Field(default=100, ge=0)
    loss_max: float = Field(default=0.05, ge=0, lt=1)

    def is_met(self, found: Comparison | None) -> bool:
        """Return whether enough users were seen."""
        seen = min(found.users, found.users_default) if found else 0
        return seen >= self.users_least

    def is_broken(self, found: Comparison | None) -> bool:
        """Return whether the loss is more than allowed, and hardly chance."""
        return found is not None and found.high < 0 and found.loss > self.loss_max


class CanaryRules(Rule):
    """All rules; those of the class itself are on nDCG@10."""

    loss_max: float = Field(default=0.02, ge=0, lt=1)
    share: float = Field(default=0.05, gt=0, lt=1)
    minutes: float = Field(default=60, ge=0, le=525_600)  # a year
    rest_minutes: float = Field(default=60, ge=0, le=525_600)
    clicks: Rule | None = None


def read_rules(path: Path) -> CanaryRules:
    """Return the rules in a file.

    Raises:
        SettingsFileError: they are none, or there is no such file.
    """
    try:
        return CanaryRules.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise SettingsFileError(
            f"{path} (CANARY_RULES) has no rules for canaries: {error}. "
            "`trainer/judging/canary.py` shows what may stand there"
        ) from error


class _DecidedError(Exception):
    """Someone else decided on the canary in the meantime."""


@dataclass(frozen=True, slots=True)
class CanaryGate:
    """Tries accurate generations on some users; serves those that do not lose there to all."""

    accuracy: AccuracyGate
    rules: CanaryRules
    periods: Periods
    keep: int
    """earlier generations that can be rolled back to"""
    fence: int
    """the fencing token of the lock that the run holds"""
    now: Callable[[], datetime]

    def waiting(self) -> Waiting | None:
        """Judge a canary whose trial is over; return why a run must wait, None if it need not.

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
        """Try an accurate generation on some users if another is served, else serve it."""
        ruling = self.accuracy.decide(report)
        current = read_current(self.periods.store, self.periods.keyspace)
        is_served = current is not None and DEFAULT_VARIANT in current.variants
        if ruling == Serve() and report.variant == DEFAULT_VARIANT and is_served:
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
        decisions = read_decisions(self.periods.store, self.periods.keyspace)
        latest = next((each for each in decisions if each.variant == CANARY_VARIANT), None)
        if latest is None or (latest.what, latest.by) != ("rolled back", BY_RULES):
            return False
        over = datetime.fromisoformat(latest.at) + timedelta(minutes=self.rules.rest_minutes)
        return self.now() < over

    def _ms(self) -> int:
        return round(self.now().timestamp() * 1000)
