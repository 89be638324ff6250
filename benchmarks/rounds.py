"""Interleaved rounds of two contenders, and what they come to: pure but for calling them.

A ratio is taken within a round, where both met the same neighbors on the machine; the median over
the rounds is the result, least and greatest say how far it may be trusted.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Run:
    """One contender's work in one round."""

    records: int
    seconds: float
    cpu_s: Mapping[str, float]
    """CPU seconds of each process that took part, and of all `others` on the machine"""

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends of a few values.

    >>> Spread.of([3.0, 1.0, 2.0])
    Spread(median=2.0, least=1.0, greatest=3.0)
    """

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarize at least one value."""
        return cls(statistics.median(values), min(values), max(values))


R = TypeVar("R", bound=Run)


def interleaved(
    contenders: Mapping[str, Callable[[], R]],
    rounds: int,
    say: Callable[[int, str, Run], None],
) -> dict[str, list[R]]:
    """Let each contender run once a round, in turn first and last; return their runs."""
    runs: dict[str, list[R]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders)[:: 1 if number % 2 == 0 else -1]
        for name in order:
            run = contenders[name]()
            runs[name].append(run)
            say(number, name, run)
    return runs


def rates(runs: Sequence[Run]) -> Spread:
    """Return the records a second over the rounds."""
    return Spread.of([run.rate for run in runs])


def ratios(runs: Sequence[Run], baseline: Sequence[Run]) -> Spread:
    """Return how many times faster than the baseline, round by round.

    >>> slow, fast = Run(100, 10.0, {}), Run(1_000, 5.0, {})
    >>> ratios([fast], [slow]).median
    20.0
    """
    return Spread.of([one.rate / other.rate for one, other in zip(runs, baseline, strict=True)])


def ratios_a_core(runs: Sequence[Run], baseline: Sequence[Run]) -> Spread:
    """Return how many times more records a second of the worker's CPU came to, round by round.

    A worker is a whole process tree, so what an engine does on a second core counts.

    >>> ours, two_cores = Run(100, 1.0, {"worker": 1.0}), Run(100, 1.0, {"worker": 2.0})
    >>> ratios_a_core([ours], [two_cores]).median
    2.0
    """
    return Spread.of(
        [
            (one.records / one.cpu_s["worker"]) / (other.records / other.cpu_s["worker"])
            for one, other in zip(runs, baseline, strict=True)
        ]
    )


def cpu_us_a_record(runs: Sequence[Run]) -> dict[str, float]:
    """Return the median CPU microseconds that each process spent on a record."""
    return {
        who: statistics.median(run.cpu_s[who] / run.records * 1e6 for run in runs)
        for who in runs[0].cpu_s
    }


def cpu_seconds(runs: Sequence[Run]) -> dict[str, float]:
    """Return the median CPU seconds of each process in a run."""
    return {who: statistics.median(run.cpu_s[who] for run in runs) for who in runs[0].cpu_s}


def busy_neighbors(runs: Sequence[Run]) -> Spread:
    """Return how many cores processes that took no part kept busy meanwhile."""
    return Spread.of([run.cpu_s["others"] / run.seconds for run in runs])
