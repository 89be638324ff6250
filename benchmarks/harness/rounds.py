"""Interleaved rounds of contenders, and their results: pure except for calling them.

A ratio is taken within a round, where both met the same neighbors on the machine; the median over
the rounds is the result, least and greatest say how far it may be trusted.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar


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


class Spread(NamedTuple):
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

    def __format__(self, spec: str) -> str:
        """Return the ends, each in this format.

        >>> f"{Spread(median=2_000.0, least=1_000.0, greatest=3_000.0):,.0f}"
        '1,000 .. 3,000'
        """
        return f"{self.least:{spec}} .. {self.greatest:{spec}}"


R = TypeVar("R", bound=Run)
Say = Callable[[int, str, Run], None]
"""Called after each run with its round, counted from 0, and the contender's name."""


def interleaved(
    contenders: Mapping[str, Callable[[], R]], rounds: int, say: Say
) -> dict[str, list[R]]:
    """Let each contender run once a round, in turn first and last; return their runs."""
    runs: dict[str, list[R]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders)[:: 1 if number % 2 == 0 else -1]:
            run = contenders[name]()
            runs[name].append(run)
            say(number, name, run)
    return runs


def rates(runs: Sequence[Run]) -> Spread:
    """Return the records a second over the rounds."""
    return Spread.of([run.rate for run in runs])


def ratios(runs: Sequence[Run], baseline: Sequence[Run]) -> Spread:
    """Return how many times faster than the baseline, round by round.

    >>> ratios([Run(1_000, 5.0, {})], [Run(100, 10.0, {})]).median
    20.0
    """
    return Spread.of([one.rate / other.rate for one, other in zip(runs, baseline, strict=True)])


def ratios_a_core(runs: Sequence[Run], baseline: Sequence[Run]) -> Spread:
    """Return the same for the records a second of the worker's CPU.

    A worker is a whole process tree, so what an engine does on a second core counts.
    """

    def a_core(one: Run) -> Run:
        return Run(one.records, one.cpu_s["worker"], {})

    return ratios([a_core(run) for run in runs], [a_core(run) for run in baseline])


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
    """Return how many cores uninvolved processes kept busy during the runs."""
    return Spread.of([run.cpu_s["others"] / run.seconds for run in runs])
