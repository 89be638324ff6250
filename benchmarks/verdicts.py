"""What `keepup` came to: lines of JSON, or tables."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.keepup import P99_WITHIN_S, SLICE_S, Highest, Trial
from benchmarks.latency import GROWS_ABOVE, Latencies
from benchmarks.report import ends, line, rounded, show_conditions
from benchmarks.rounds import Spread


@dataclass(frozen=True, slots=True)
class Kept:
    """One load, tried once or more."""

    trials: Sequence[Trial]
    broker: str
    store: str

    def lines(self) -> str:
        """Return everything as one line of JSON."""
        p99_s = self._spread(lambda trial: trial.latencies.p99_s)
        return line(
            name="keepup",
            work=str(self.trials[0].load),
            value=round(p99_s.median, 3),
            unit="s from publishing to readable over HTTP, p99",
            baseline="the clock",
            baseline_value=P99_WITHIN_S,
            ratio=round(p99_s.median / P99_WITHIN_S, 2),
            spread={"value": ends(p99_s, 3), "slices": self._slices()},
            rounds=len(self.trials),
            keeps_up=all(trial.keeps_up for trial in self.trials),
            trials=[_said(trial) for trial in self.trials],
            busy_other_cores=ends(self.neighbors(), 2),
            broker=self.broker,
            store=self.store,
        )

    def neighbors(self) -> Spread:
        """Return how many cores others kept busy."""
        return self._spread(lambda trial: trial.cpu_s["others"] / trial.load.seconds)

    def show(self, console: Console) -> None:
        """Print tables, the verdict, and what it was measured on."""
        console.print(str(self.trials[0].load), style="bold")
        console.print(_latency_table(self.trials))
        console.print(_lag_table(self.trials))
        console.print(_cpu_table(self.trials))
        for trial in self.trials:
            console.print(_verdict(trial))
        show_conditions(console, self.broker, self.store, self.neighbors())

    def _spread(self, value: Callable[[Trial], float]) -> Spread:
        return Spread.of([value(trial) for trial in self.trials])

    def _slices(self) -> list[float]:
        p99_s = [one.p99_s for trial in self.trials for one in trial.slices]
        return [round(min(p99_s), 3), round(max(p99_s), 3)]


@dataclass(frozen=True, slots=True)
class HighestRate:
    """The search for the highest rate."""

    found: Highest
    trials: Sequence[Trial]
    broker: str
    store: str

    def lines(self) -> str:
        """Return everything as one line of JSON."""
        return line(
            name="keepup: highest",
            work=f"{self.trials[0].load}, and other rates",
            value=self.found.kept_up,
            unit="quotes/s",
            baseline=None,
            ratio=None,
            spread={"value": list(self.found)},
            rounds=len(self.trials),
            trials=[_said(trial) for trial in self.trials],
            busy_other_cores=ends(self.neighbors(), 2),
            broker=self.broker,
            store=self.store,
        )

    def neighbors(self) -> Spread:
        """Return how many cores others kept busy."""
        return Spread.of([trial.cpu_s["others"] / trial.load.seconds for trial in self.trials])

    def show(self, console: Console) -> None:
        """Print a row a trial, the result, and what it was measured on."""
        trials = sorted(self.trials, key=lambda trial: trial.load.quotes_per_s)
        console.print(_lag_table(trials))
        console.print(_cpu_table(trials))
        kept_up, too_much = self.found
        console.print(f"[bold]{kept_up:,} quotes/s[/] were kept up with, {too_much:,} were not")
        late = [trial for trial in trials if not trial.punctual]
        if late:
            rates = ", ".join(f"{trial.load.quotes_per_s:,}" for trial in late)
            console.print(f"the publisher itself was too slow for {rates} quotes/s beside the rest")
        show_conditions(console, self.broker, self.store, self.neighbors())


def _said(trial: Trial) -> dict[str, Any]:
    probed, published = trial.probed, trial.published
    return {
        "load": trial.load,
        "keeps_up": trial.keeps_up,
        "latency": _rounded_latencies(trial.latencies),
        "latency_slices": [_rounded_latencies(one) for one in trial.slices],
        "lag": {
            "start_s": round(trial.lag.start_s, 3),
            "middle_s": round(trial.lag.middle_s, 3),
            "end_s": round(trial.lag.end_s, 3),
            "max_s": round(trial.lag.max_s, 3),
            "growth": round(trial.lag.growth, 4),
        },
        "cpu_s": rounded(trial.cpu_s),
        "publisher": {
            "records": published.records,
            "most_late_s": round(published.most_late_s, 3),
            "late_at_end_s": round(published.late_at_end_s, 3),
        },
        "prober": {
            "looks": probed.looks,
            "look_every_s": round(probed.look_every_s, 4),
            "refused": probed.refused,
            "unreadable": probed.unreadable,
        },
    }


def _rounded_latencies(one: Latencies) -> dict[str, float]:
    return {
        "count": one.count,
        "p50_s": round(one.p50_s, 3),
        "p99_s": round(one.p99_s, 3),
        "max_s": round(one.max_s, 3),
    }


def _latency_table(trials: Sequence[Trial]) -> Table:
    table = _table(("published to readable", "p50", "p99", "max", "quotes"))
    for number, trial in enumerate(trials, start=1):
        whole = "all" if len(trials) == 1 else f"round {number}"
        _add(table, f"[bold]{whole}[/]", trial.latencies)
        for place, one in enumerate(trial.slices):
            _add(table, f"from second {place * SLICE_S:g}", one)
    return table


def _add(table: Table, name: str, one: Latencies) -> None:
    seconds = (f"{value:.2f} s" for value in (one.p50_s, one.p99_s, one.max_s))
    table.add_row(name, *seconds, f"{one.count:,}")


def _lag_table(trials: Iterable[Trial]) -> Table:
    columns = ("start", "middle", "end", "most", "grows by", "p99 over HTTP", "keeps up")
    table = _table(("quotes/s: lag, in s of them", *columns))
    for trial in trials:
        lag = trial.lag
        spans = (lag.start_s, lag.middle_s, lag.end_s, lag.max_s)
        table.add_row(
            f"{trial.load.quotes_per_s:,}",
            *(f"{span:.2f} s" for span in spans),
            f"{lag.growth:+.3f} s/s",
            f"{trial.latencies.p99_s:.2f} s",
            "[green]yes[/]" if trial.keeps_up else "[red]no[/]",
        )
    return table


def _cpu_table(trials: Sequence[Trial]) -> Table:
    parts = [who for who in trials[0].cpu_s if who != "others"]
    table = _table(("quotes/s: CPU, in cores", *parts))
    for trial in trials:
        cores = (f"{trial.cpu_s[who] / trial.load.seconds:.2f}" for who in parts)
        table.add_row(f"{trial.load.quotes_per_s:,}", *cores)
    return table


def _verdict(trial: Trial) -> str:
    p99_s, lag, probed = trial.latencies.p99_s, trial.lag, trial.probed
    met = "[green]below[/]" if p99_s < P99_WITHIN_S else "[red]above[/]"
    grows = "grows" if lag.growth >= GROWS_ABOVE else "does not grow"
    said = (
        f"p99 [bold]{p99_s:.2f} s[/], {met} {P99_WITHIN_S:g} s; the lag {grows}; "
        f"looked every {probed.look_every_s * 1000:.0f} ms, "
        f"published at most {trial.published.most_late_s:.2f} s late"
    )
    if probed.unreadable:
        said += f"; [red]{probed.unreadable} quotes were never readable[/]"
    if probed.refused:
        said += f"; {probed.refused} of {probed.looks} looks were refused"
    return said


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table
