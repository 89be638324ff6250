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


class Target(NamedTuple):
    """What the ratio of the two rates is to be."""

    ratio: float | None = None
    """None: it is only reported"""
    by_p99: bool = True
    """whether ours must answer sooner, too: its 99th percentile below the other's"""


_COLUMNS: Final = {
    "p50 ms": lambda its: f"{_p50_ms(its):.1f}",
    "p99 ms": lambda its: f"{_p99_ms(its).median:.1f}",
    "max ms": lambda its: f"{_max_ms(its):.1f}",
    "failed": lambda its: f"[red]{failed(its):,}[/]" if failed(its) else "0",
    "MB": lambda its: f"{_rss_mb(its):.0f}",
}


def measured(name: str, work: str, runs: Mapping[str, Runs], target: Target, store: str) -> Report:
    """Report ours and the baseline, which took turns at the same work."""
    ours, baseline = runs.values()
    p99 = p99_ratio(ours, baseline)
    is_reached = reached(target, ours, baseline)
    words = f"p99 {p99.median:.2f} of its ({p99:.2f})"
    if target.ratio is not None:
        sooner = " at a lower p99" if target.by_p99 else ""
        words += f"; {target.ratio:g} times{sooner}: {met(is_reached)}"
    fields = {
        "bar": target.ratio,
        "reached": is_reached if target.ratio else None,
        "p99_ratio": round(p99.median, 3),
        "p99_ratio_spread": ends(p99, 3),
        "answers": {"ours": _said(ours), "baseline": _said(baseline)},
    }
    servers = Servers("no broker", store)
    return compared(
        f"reads: {name}", work, "answers/s", runs, servers, _COLUMNS, Judged(fields, words)
    )


def reached(target: Target, ours: Runs, baseline: Runs) -> bool:
    """Tell whether the median ratios are what they are to be, and nothing was refused."""
    if failed(ours) or failed(baseline):
        return False
    sooner = not target.by_p99 or p99_ratio(ours, baseline).median < 1
    return sooner and ratios(ours, baseline).median >= (target.ratio or 0)


def p99_ratio(ours: Runs, baseline: Runs) -> Spread:
    """Return ours' 99th percentile as a share of the other's, in the same round."""
    both = zip(ours, baseline, strict=True)
    return Spread.of([one.p99_s / other.p99_s for one, other in both])


def failed(runs: Runs) -> int:
    """Return how many requests of all rounds got a refusal, or nothing."""
    return sum(run.refused + run.broken for run in runs)


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
