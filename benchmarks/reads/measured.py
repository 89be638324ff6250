"""A server's answers in the runs of a contest, and what the contest came to. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from benchmarks.harness.report import Judged, Report, Servers, compared, ends, met
from benchmarks.harness.rounds import Run, Spread, ratios


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


Runs = Sequence[Answered]


class Pair(NamedTuple):
    """Two contenders whose rates are related, and what the ratio is to be."""

    ours: str
    baseline: str
    bar: float | None = None
    by_p99: bool = True
    """whether ours must answer sooner, too: its 99th percentile below the other's"""


_COLUMNS: Final = {
    "p50 ms": lambda its: f"{_p50_ms(its):.1f}",
    "p99 ms": lambda its: f"{_p99_ms(its).median:.1f}",
    "max ms": lambda its: f"{_max_ms(its):.1f}",
    "failed": lambda its: f"[red]{failed(its):,}[/]" if failed(its) else "0",
    "MB": lambda its: f"{_rss_mb(its):.0f}",
}


def measured(
    name: str, work: str, runs: Mapping[str, Runs], pairs: Sequence[Pair], store: str
) -> Report:
    """Report contenders that took turns at the same work."""
    by_name = {(pair.ours, pair.baseline): pair for pair in pairs}

    def judged(ours: str, baseline: str) -> Judged:
        return _judged(by_name[ours, baseline], runs)

    return compared(
        f"reads: {name}",
        work,
        "answers/s",
        runs,
        Servers("no broker", store),
        [*by_name],
        _COLUMNS,
        judged,
    )


def reached(pair: Pair, runs: Mapping[str, Runs]) -> bool:
    """Tell whether the median ratios are what they are to be, and nothing was refused."""
    if failed(runs[pair.ours]) or failed(runs[pair.baseline]):
        return False
    sooner = not pair.by_p99 or p99_ratio(pair, runs).median < 1
    return sooner and ratios(runs[pair.ours], runs[pair.baseline]).median >= (pair.bar or 0)


def p99_ratio(pair: Pair, runs: Mapping[str, Runs]) -> Spread:
    """Return ours' 99th percentile as a share of the other's, in the same round."""
    both = zip(runs[pair.ours], runs[pair.baseline], strict=True)
    return Spread.of([one.p99_s / other.p99_s for one, other in both])


def failed(runs: Runs) -> int:
    """Return how many requests of all rounds got a refusal, or nothing."""
    return sum(run.refused + run.broken for run in runs)


def _judged(pair: Pair, runs: Mapping[str, Runs]) -> Judged:
    p99 = p99_ratio(pair, runs)
    words = f"p99 {p99.median:.2f} of its ({p99:.2f})"
    if pair.bar is not None:
        sooner = " at a lower p99" if pair.by_p99 else ""
        words += f"; {pair.bar:g} times{sooner}: {met(reached(pair, runs))}"
    fields = {
        "bar": pair.bar,
        "reached": reached(pair, runs) if pair.bar else None,
        "p99_ratio": round(p99.median, 3),
        "p99_ratio_spread": ends(p99, 3),
        "answers": {"ours": _said(runs[pair.ours]), "baseline": _said(runs[pair.baseline])},
    }
    return Judged(fields, words)


def _said(runs: Runs) -> dict[str, Any]:
    p99 = _p99_ms(runs)
    return {
        "p50_ms": round(_p50_ms(runs), 3),
        "p99_ms": round(p99.median, 3),
        "p99_ms_spread": ends(p99, 3),
        "max_ms": round(_max_ms(runs), 3),
        "failed": failed(runs),
        "rss_mb": round(_rss_mb(runs), 1),
    }


def _p50_ms(runs: Runs) -> float:
    return statistics.median(run.p50_s for run in runs) * 1e3


def _p99_ms(runs: Runs) -> Spread:
    return Spread.of([run.p99_s * 1e3 for run in runs])


def _max_ms(runs: Runs) -> float:
    return max(run.max_s for run in runs) * 1e3


def _rss_mb(runs: Runs) -> float:
    return max(run.rss_bytes for run in runs) / 1e6
