"""The results of `keepup`: a line of JSON, or tables and a verdict."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from benchmarks.harness.report import Report, Servers, conditions, ends, table
from benchmarks.harness.rounds import Spread
from benchmarks.keepup.publisher import Load
from contracts.messages import Floats

_P99_WITHIN_S: Final = 1.5
_PUNCTUAL_S: Final = 0.5
_SPAN: Final = 1 / 6
"""of a run: what the start, the middle and the end of a lag are averaged over"""
_ENDS_BELOW_S: Final = 2.0
_GROWS_ABOVE: Final = 0.02
"""Seconds a second. A worker writes once a second, so its lag is a saw: a line fitted to a few
seconds of it has a slope of its own."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """A summary of some latencies, in seconds; NaN if there are none."""

    count: int
    p50_s: float
    p99_s: float
    max_s: float

    @classmethod
    def of(cls, latencies_s: Sequence[float]) -> "Latencies":
        """Summarize them; a percentile is one of them, none in between: nearest rank.

        >>> Latencies.of([4.0, 1.0, 3.0, 2.0])
        Latencies(count=4, p50_s=2.0, p99_s=4.0, max_s=4.0)
        """
        if not latencies_s:
            return cls(0, math.nan, math.nan, math.nan)
        found = np.quantile(latencies_s, [0.5, 0.99, 1], method="inverted_cdf")
        return cls(len(latencies_s), *found.round(4).tolist())


@dataclass(frozen=True, slots=True)
class Lag:
    """How far behind the folding was, in seconds' worth of records."""

    start_s: float
    middle_s: float
    end_s: float
    max_s: float
    growth: float
    """slope of the straight line through it: seconds a second"""

    @property
    def is_low(self) -> bool:
        """Whether it ended low and did not grow."""
        return self.end_s < _ENDS_BELOW_S and self.growth < _GROWS_ABOVE

    @classmethod
    def of(cls, at_s: Floats, lag_s: Floats) -> "Lag":
        """Summarize readings at rising times; both (n,), n of 2 or more."""
        share = (at_s - at_s[0]) / (at_s[-1] - at_s[0])
        middle = np.abs(share - 0.5) <= _SPAN / 2
        spans = (share <= _SPAN, middle if middle.any() else share <= 1, share >= 1 - _SPAN)
        growth = np.polynomial.Polynomial.fit(at_s, lag_s, 1).convert().coef[1]
        figures = (*(lag_s[span].mean() for span in spans), lag_s.max(), growth)
        return cls(*(round(float(figure), 4) for figure in figures))


@dataclass(frozen=True, slots=True)
class Trial:
    """How one load went."""

    load: Load
    latency: Latencies
    """from a quote's publishing to the answer that has it"""
    lag: Lag
    cpu_s: dict[str, float]
    publisher: dict[str, float]
    prober: dict[str, float]

    @property
    def is_punctual(self) -> bool:
        """Whether the records were published at the rate; if not, the load was another one."""
        return self.publisher["late_at_end_s"] < _PUNCTUAL_S

    @property
    def keeps_up(self) -> bool:
        """Whether the load was there, and the lag stayed low."""
        return self.is_punctual and self.lag.is_low

    @property
    def rate(self) -> str:
        """The quotes a second, to be shown."""
        return f"{self.load.quotes_per_s:,}"


def report(trials: Sequence[Trial], servers: Servers) -> Report:
    """Report one load, tried once or more."""
    p99_s = Spread.of([trial.latency.p99_s for trial in trials])
    neighbors = Spread.of([trial.cpu_s["others"] / trial.load.seconds for trial in trials])
    figures = {
        "name": "keepup",
        "work": str(trials[0].load),
        "value": round(p99_s.median, 3),
        "unit": "s from publishing to readable over HTTP, p99",
        "baseline": "the clock",
        "baseline_value": _P99_WITHIN_S,
        "ratio": round(p99_s.median / _P99_WITHIN_S, 2),
        "spread": {"value": ends(p99_s, 3)},
        "keeps_up": all(trial.keeps_up for trial in trials),
        "rounds": len(trials),
        "trials": [{"keeps_up": one.keeps_up, **asdict(one)} for one in trials],
        "busy_other_cores": ends(neighbors, 2),
        **servers._asdict(),
    }
    printed: Sequence[RenderableType] = (
        f"[bold]{trials[0].load}[/]",
        _latencies(trials),
        *_lags_and_cores(trials),
        *map(_verdict, trials),
        conditions(*servers, neighbors),
    )
    return Report([figures], printed)


def _latencies(trials: Sequence[Trial]) -> Table:
    rows = []
    for number, trial in enumerate(trials, start=1):
        its = trial.latency
        seconds = (f"{value:.2f} s" for value in (its.p50_s, its.p99_s, its.max_s))
        rows.append((f"round {number}", *seconds, f"{its.count:,}"))
    return table(("published to readable", "p50", "p99", "max", "quotes"), rows)


def _lags_and_cores(trials: Sequence[Trial]) -> tuple[Table, Table]:
    lags, cores = [], []
    parts = [who for who in trials[0].cpu_s if who != "others"]
    for trial in trials:
        lag, kept_up = trial.lag, "[green]yes[/]" if trial.keeps_up else "[red]no[/]"
        spans = (f"{s:.2f} s" for s in (lag.start_s, lag.middle_s, lag.end_s, lag.max_s))
        p99 = f"{trial.latency.p99_s:.2f} s"
        lags.append((trial.rate, *spans, f"{lag.growth:+.3f} s/s", p99, kept_up))
        its = (f"{trial.cpu_s[who] / trial.load.seconds:.2f}" for who in parts)
        cores.append((trial.rate, *its))
    columns = ("start", "middle", "end", "most", "grows by", "p99 over HTTP", "keeps up")
    return (
        table(("quotes/s: lag, in s of them", *columns), lags),
        table(("quotes/s: CPU, in cores", *parts), cores),
    )


def _verdict(trial: Trial) -> str:
    p99_s, looked = trial.latency.p99_s, trial.prober
    met = "[green]below[/]" if p99_s < _P99_WITHIN_S else "[red]above[/]"
    grows = "grows" if trial.lag.growth >= _GROWS_ABOVE else "does not grow"
    sentence = (
        f"p99 [bold]{p99_s:.2f} s[/], {met} {_P99_WITHIN_S:g} s; the lag {grows}; "
        f"looked every {looked['look_every_s'] * 1000:.0f} ms, "
        f"published at most {trial.publisher['most_late_s']:.2f} s late"
    )
    if not trial.is_punctual:
        sentence += "; [red]the publisher was too slow for this rate[/]"
    if looked["unreadable"]:
        sentence += f"; [red]{looked['unreadable']} quotes were never readable[/]"
    if looked["refused"]:
        sentence += f"; {looked['refused']} of {looked['looks']} looks were refused"
    return sentence
