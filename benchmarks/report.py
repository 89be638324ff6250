"""What a benchmark came to: lines of JSON, or a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
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
)


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
        return _line(
            name=self.name,
            work=self.work,
            value=round(value.median),
            unit=self.unit,
            baseline=self.baseline_name,
            baseline_value=round(other.median),
            ratio=round(ratio.median, 2),
            spread={
                "value": _ends(value),
                "baseline_value": _ends(other),
                "ratio": _ends(ratio, 2),
            },
            rounds=len(self.ours),
            records={"ours": self.ours[0].records, "baseline": self.baseline[0].records},
            cpu_s={
                "ours": _rounded(cpu_seconds(self.ours)),
                "baseline": _rounded(cpu_seconds(self.baseline)),
            },
            busy_other_cores=_ends(self.neighbors(), 2),
            broker=self.broker,
            store=self.store,
        )

    def ratio(self) -> Spread:
        """Return how many times faster ours was, in the same round."""
        return ratios(self.ours, self.baseline)

    def neighbors(self) -> Spread:
        """Return how many cores others kept busy."""
        return busy_neighbors([*self.ours, *self.baseline])

    def show(self, console: Console) -> None:
        """Print a table, what the ratio is, and what it was measured on."""
        contenders = {"tickrec": self.ours, self.baseline_name: self.baseline}
        console.print(_table(self.work, self.unit, contenders))
        ratio = self.ratio()
        console.print(
            f"[bold]{ratio.median:.1f} times[/] {self.baseline_name} "
            f"({ratio.least:.1f} .. {ratio.greatest:.1f} in {len(self.ours)} rounds)"
        )
        _show_conditions(console, self.broker, self.store, self.neighbors())


@dataclass(frozen=True, slots=True)
class Ceilings:
    """How fast each step is alone."""

    work: str
    unit: str
    runs: Mapping[str, list[Run]]
    broker: str
    store: str

    def lines(self) -> str:
        """Return a line of JSON for each step."""
        return "".join(
            _line(
                name=f"limits: {step}",
                work=self.work,
                value=round(rates(runs).median),
                unit=self.unit,
                baseline=None,
                ratio=None,
                spread={"value": _ends(rates(runs))},
                rounds=len(runs),
                records={"ours": runs[0].records},
                cpu_s={"ours": _rounded(cpu_seconds(runs))},
                busy_other_cores=_ends(busy_neighbors(runs), 2),
                broker=self.broker,
                store=self.store,
            )
            for step, runs in self.runs.items()
        )

    def show(self, console: Console) -> None:
        """Print a table and what it was measured on."""
        console.print(_table(self.work, self.unit, self.runs))
        every = [run for runs in self.runs.values() for run in runs]
        _show_conditions(console, self.broker, self.store, busy_neighbors(every))


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


def _show_conditions(console: Console, broker: str, store: str, others: Spread) -> None:
    on = machine()
    console.print(
        f"{on['cpu']}, {on['cores']} cores, {broker}, {store}; "
        f"others kept {others.least:.2f} to {others.greatest:.2f} cores busy meanwhile",
        style="dim",
    )


def _line(**said: Any) -> str:
    said |= {"machine": machine(), "versions": versions()}
    return msgspec.json.encode(said).decode() + "\n"


def _ends(spread: Spread, digits: int | None = None) -> list[float]:
    return [round(spread.least, digits), round(spread.greatest, digits)]


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
