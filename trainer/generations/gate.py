"""Whether a generation is served, tried or rejected: the one thing that a run asks.

The default is the rule on accuracy. `trainer.judging.canary` is another gate, which tries new
generations first; nothing else knows how.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from trainer.generations.report import Report
from trainer.quality.checking import ACCURACY, Checked


class Waiting(StrEnum):
    """Why nothing is trained now."""

    HELD = "held"
    """an operator rolled back: `python -m trainer once` resumes training"""
    ON_TRIAL = "on trial"
    """a canary's period is not over"""
    RESTING = "resting"
    """a canary was rolled back a short while ago"""


@dataclass(frozen=True, slots=True)
class Serve:
    """All users of the variant get it."""


@dataclass(frozen=True, slots=True)
class Try:
    """A share of the users gets it first, for some minutes."""

    share: float
    minutes: float


@dataclass(frozen=True, slots=True)
class Reject:
    """What is served stays."""

    broken: list[Checked]


Ruling = Serve | Try | Reject


class Gate(Protocol):
    """Decides whether a run may train, and whether its generation is served."""

    def waiting(self) -> Waiting | None:
        """Return why a run must wait before it trains, None if it need not."""

    def decide(self, report: Report) -> Ruling:
        """Serve, try or reject a generation by its report, before its lists are written."""


@dataclass(frozen=True, slots=True)
class AccuracyGate:
    """Rejects generations that predict significantly worse than the served one."""

    by_person: bool
    """a person asked for the run, and what it makes is served anyway"""

    def waiting(self) -> Waiting | None:
        """Return None: a new generation is served at once."""
        return None

    def decide(self, report: Report) -> Ruling:
        """Return whether the report's rule on accuracy holds."""
        broken = [rule for rule in report.quality if rule.rule == ACCURACY and not rule.holds]
        return Reject(broken) if broken and not self.by_person else Serve()
