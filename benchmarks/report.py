"""What a benchmark came to: lines of JSON, or a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine, versions
from benchmarks.rounds import (
    Run,
    Spread,
    busy_neighbors,
    cpu_seconds,
    cpu_us_a_record,
    rates,
    ratios,
    ratios_a_core,
)

_BAR_WIDTH: Final = 60


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against a baseline."""

    name: str
    work: str
    unit: str
    ours: list[Run]
    baseline_name: str
    baseline: list[Run]
    broker: str
    store: str

    def lines(self) -> str:
        """Return everything as one line of JSON."""
        value, other, ratio = rates(self.ours), rates(self.baseline), self.ratio()
        a_core = self.ratio_a_core()
        return line(
            name=self.name,
            work=self.work,
            value=round(value.median),
            unit=self.unit,
            baseline=self.baseline_name,
            baseline_value=round(other.median),
            ratio=round(ratio.median, 2),
            ratio_per_core_used=round(a_core.median, 2),
            spread={
                "value": ends(value),
                "baseline_value": ends(other),
                "ratio": ends(ratio, 2),
                "ratio_per_core_used": ends(a_core, 2),
            },
            rounds=len(self.ours),
            records={"ours": self.ours[0].records, "baseline": self.baseline[0].records},
            cpu_s={
                "ours": rounded(cpu_seconds(self.ours)),
                "baseline": rounded(cpu_seconds(self.baseline)),
            },
            busy_other_cores=ends(self.neighbors(), 2),
            broker=self.broker,
            store=self.store,
        )

    def ratio(self) -> Spread:
        """Return how many times faster ours was, in the same round."""
        return ratios(self.ours, self.baseline)

    def ratio_a_core(self) -> Spread:
        """Return how many times more ours did in a second of a core, in the same round."""
        return ratios_a_core(self.ours, self.baseline)

    def neighbors(self) -> Spread:
        """Return how many cores others kept busy."""
        return busy_neighbors([*self.ours, *self.baseline])

    def show(self, console: Console) -> None:
        """Print a table, what the ratio is, and what it was measured on."""
        contenders = {"tickrec": self.ours, self.baseline_name: self.baseline}
        console.print(_table(self.work, self.unit, contenders))
        ratio, a_core = self.ratio(), self.ratio_a_core()
        console.print(
            f"[bold]{ratio.median:.1f} times[/] {self.baseline_name} "
            f"({ratio.least:.1f} .. {ratio.greatest:.1f} in {len(self.ours)} rounds); "
            f"per core used {a_core.median:.1f} times ({a_core.least:.1f} .. {a_core.greatest:.1f})"
        )
        show_conditions(console, self.broker, self.store, self.neighbors())


@dataclass(frozen=True, slots=True)
class Ceilings:
    """How fast each step is alone."""

    work: str
    unit: str
    runs: Mapping[str, list[Run]]
    broker: str
    store: str
    name: str = "limits"
    plot: bool = False
    """show the rates as bars, too"""

    def lines(self) -> str:
        """Return a line of JSON for each step."""
        return "".join(
            line(
                name=f"{self.name}: {step}",
                work=self.work,
                value=round(rates(runs).median),
                unit=self.unit,
                baseline=None,
                ratio=None,
                spread={"value": ends(rates(runs))},
                rounds=len(runs),
                records={"ours": runs[0].records},
                cpu_s={"ours": rounded(cpu_seconds(runs))},
                busy_other_cores=ends(busy_neighbors(runs), 2),
                broker=self.broker,
                store=self.store,
            )
            for step, runs in self.runs.items()
        )

    def show(self, console: Console) -> None:
        """Print a table and what it was measured on."""
        console.print(_table(self.work, self.unit, self.runs))
        if self.plot:
            console.print(_bars(self.unit, self.runs))
        every = [run for runs in self.runs.values() for run in runs]
        show_conditions(console, self.broker, self.store, busy_neighbors(every))


def _table(title: str, unit: str, contenders: Mapping[str, list[Run]]) -> Table:
    table = Table(title=title, box=None, header_style="bold", title_justify="left")
    table.add_column("")
    table.add_column(unit, justify="right")
    table.add_column("least .. greatest", justify="right")
    parts = [who for who in next(iter(contenders.values()))[0].cpu_s if who != "others"]
    for who in parts:
        table.add_column(f"{who}, CPU us each", justify="right")
    for name, runs in contenders.items():
        rate, cpu = rates(runs), cpu_us_a_record(runs)
        table.add_row(
            name,
            f"{rate.median:,.0f}",
            f"{rate.least:,.0f} .. {rate.greatest:,.0f}",
            *(f"{cpu[who]:.2f}" for who in parts),
        )
    return table


def _bars(unit: str, contenders: Mapping[str, list[Run]]) -> Table:
    """Return the median rates as bars from 0 to the greatest."""
    table = Table(box=None, header_style="bold")
    table.add_column("")
    table.add_column(unit, width=_BAR_WIDTH)
    medians = {name: rates(runs).median for name, runs in contenders.items()}
    greatest = max(medians.values())
    for name, rate in medians.items():
        table.add_row(name, Bar(greatest, 0, rate, width=_BAR_WIDTH))
    return table


def show_conditions(console: Console, broker: str, store: str, others: Spread) -> None:
    """Print what a result was measured on."""
    on = machine()
    console.print(
        f"{on['cpu']}, {on['cores']} cores, {broker}, {store}; "
        f"others kept {others.least:.2f} to {others.greatest:.2f} cores busy meanwhile",
        style="dim",
    )


def line(**said: Any) -> str:
    """Return one line of JSON, with the machine and the versions."""
    said |= {"machine": machine(), "versions": versions()}
    return msgspec.json.encode(said).decode() + "\n"


def ends(spread: Spread, digits: int | None = None) -> list[float]:
    """Return the least and the greatest."""
    return [round(spread.least, digits), round(spread.greatest, digits)]


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values with three digits after the point."""
    return {name: round(value, 3) for name, value in values.items()}
