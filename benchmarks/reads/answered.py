"""A server's answers in one run, and the totals of several runs. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness.rounds import Run, Spread


@dataclass(frozen=True, slots=True)
class Answered(Run):
    """One run's answers; `records` counts all of them, refusals too."""

    p50_s: float
    p99_s: float
    max_s: float
    refused: int
    """of status 400 or above"""
    broken: int
    """connections that failed, and answers that did not come"""
    rss_bytes: int
    """of the server that was asked, after the run"""

    @property
    def good_rate(self) -> float:
        """Answers a second that were no refusals."""
        return (self.records - self.refused) / self.seconds


Runs = Sequence[Answered]


def p99s(runs: Runs) -> Spread:
    """Return the 99th percentiles over the rounds, seconds."""
    return Spread.of([run.p99_s for run in runs])


def p50_s(runs: Runs) -> float:
    """Return the median of the medians, seconds."""
    return statistics.median(run.p50_s for run in runs)


def max_s(runs: Runs) -> float:
    """Return the longest that an answer took in any round, seconds."""
    return max(run.max_s for run in runs)


def failed(runs: Runs) -> int:
    """Return how many requests of all rounds got a refusal, or nothing."""
    return sum(run.refused + run.broken for run in runs)


def rss_bytes(runs: Runs) -> int:
    """Return the most memory that the server held after a round."""
    return max(run.rss_bytes for run in runs)
