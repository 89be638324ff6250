"""What a part of `reads` came to: lines of JSON, or a table and what the ratios are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness.report import conditions, ends, line, rounded, table
from benchmarks.harness.rounds import (
    Spread,
    busy_neighbors,
    cpu_seconds,
    cpu_us_a_record,
    rates,
    ratios,
)
from benchmarks.reads.answered import Runs, failed, max_s, p50_s, p99s, rss_bytes

_NO_BROKER = "no broker"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two contenders whose rates are related, and what the ratio is to be."""

    ours: str
    baseline: str
    bar: float | None = None
    by_p99: bool = True
    """whether ours must answer sooner, too: its 99th percentile below the other's"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Contenders that took turns at the same work."""

    name: str
    work: str
    runs: Mapping[str, Runs]
    pairs: Sequence[Pair]
    store: str

    def lines(self) -> str:
        """Return a line of JSON for each pair."""
        return "".join(self._line(pair) for pair in self.pairs)

    def ratio(self, pair: Pair) -> Spread:
        """Return how many times as many answers a second ours gave, in the same round."""
        return ratios(self.runs[pair.ours], self.runs[pair.baseline])

    def p99_ratio(self, pair: Pair) -> Spread:
        """Return ours' 99th percentile as a share of the other's, in the same round."""
        both = zip(self.runs[pair.ours], self.runs[pair.baseline], strict=True)
        return Spread.of([one.p99_s / other.p99_s for one, other in both])

    def reached(self, pair: Pair) -> bool:
        """Tell whether the median ratios are what they are to be, and nothing was refused."""
        if failed(self.runs[pair.ours]) or failed(self.runs[pair.baseline]):
            return False
        sooner = not pair.by_p99 or self.p99_ratio(pair).median < 1
        return sooner and self.ratio(pair).median >= (pair.bar or 0)

    def neighbors(self) -> Spread:
        """Return how many cores others kept busy."""
        return busy_neighbors([run for runs in self.runs.values() for run in runs])

    def show(self, console: Console) -> None:
        """Print a table, the ratios, and what it was measured on."""
        console.print(_table(self.work, self.runs))
        for pair in self.pairs:
            console.print(self._verdict(pair), soft_wrap=True)
        console.print(conditions(_NO_BROKER, self.store, self.neighbors()))

    def _line(self, pair: Pair) -> str:
        ours, baseline = self.runs[pair.ours], self.runs[pair.baseline]
        ratio = self.ratio(pair)
        return line(
            name=self.name,
            work=self.work,
            contender=pair.ours,
            value=round(rates(ours).median),
            unit="answers/s",
            baseline=pair.baseline,
            baseline_value=round(rates(baseline).median),
            ratio=round(ratio.median, 2),
            bar=pair.bar,
            reached=self.reached(pair) if pair.bar else None,
            p99_ratio=round(self.p99_ratio(pair).median, 3),
            spread={
                "value": ends(rates(ours)),
                "baseline_value": ends(rates(baseline)),
                "ratio": ends(ratio, 2),
                "p99_ratio": ends(self.p99_ratio(pair), 3),
            },
            rounds=len(ours),
            answers={"ours": said(ours), "baseline": said(baseline)},
            busy_other_cores=ends(self.neighbors(), 2),
            store=self.store,
        )

    def _verdict(self, pair: Pair) -> str:
        ratio, p99_ratio = self.ratio(pair), self.p99_ratio(pair)
        verdict = (
            f"{pair.ours}: [bold]{ratio.median:.2f} times[/] {pair.baseline} "
            f"({ratio.least:.2f} .. {ratio.greatest:.2f} in {len(self.runs[pair.ours])} rounds), "
            f"p99 {p99_ratio.median:.2f} of its ({p99_ratio.least:.2f} .. {p99_ratio.greatest:.2f})"
        )
        if pair.bar is None:
            return verdict
        sooner = " at a lower p99" if pair.by_p99 else ""
        met = "[green]reached[/]" if self.reached(pair) else "[red]not reached[/]"
        return f"{verdict}; {pair.bar:g} times{sooner}: {met}"


def said(runs: Runs) -> dict[str, Any]:
    """Return what the runs of a contender came to, for a line of JSON."""
    p99 = p99s(runs)
    return {
        "records": [run.records for run in runs],
        "p50_ms": round(p50_s(runs) * 1e3, 3),
        "p99_ms": round(p99.median * 1e3, 3),
        "p99_ms_spread": [round(p99.least * 1e3, 3), round(p99.greatest * 1e3, 3)],
        "max_ms": round(max_s(runs) * 1e3, 3),
        "failed": failed(runs),
        "cpu_us": rounded(cpu_us_a_record(runs)),
        "cpu_s": rounded(cpu_seconds(runs)),
        "rss_mb": round(rss_bytes(runs) / 1e6, 1),
    }


def _table(title: str, contenders: Mapping[str, Runs]) -> Table:
    kinds = _kinds(contenders.values())
    columns = (
        *("", "answers/s", "least .. greatest", "p50 ms", "p99 ms", "max ms", "failed", "MB"),
        *(f"{kind} us" for kind in kinds),
    )
    return table(
        columns, [(name, *_cells(runs, kinds)) for name, runs in contenders.items()], title
    )


def _kinds(contenders: Iterable[Runs]) -> list[str]:
    """Return the kinds of processes that took part in any run, `server` first.

    Under each stands what it spent of a CPU on an answer; `MB` is the server's memory.
    """
    every = {kind: None for runs in contenders for kind in runs[0].cpu_s if kind != "others"}
    return sorted(every, key=lambda kind: kind != "server")


def _cells(runs: Runs, kinds: Iterable[str]) -> Iterator[str]:
    rate, cpu = rates(runs), cpu_us_a_record(runs)
    yield f"{rate.median:,.0f}"
    yield f"{rate.least:,.0f} .. {rate.greatest:,.0f}"
    for seconds in (p50_s(runs), p99s(runs).median, max_s(runs)):
        yield f"{seconds * 1e3:.1f}"
    yield f"[red]{failed(runs):,}[/]" if failed(runs) else "0"
    yield f"{rss_bytes(runs) / 1e6:.0f}"
    for kind in kinds:
        yield f"{cpu[kind]:.1f}" if kind in cpu else ""
