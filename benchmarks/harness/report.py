"""The results of a benchmark, and their conditions: lines of JSON, or a table."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import psutil
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.harness.rounds import (
    Run,
    Spread,
    busy_neighbors,
    cpu_seconds,
    cpu_us_a_record,
    rates,
    ratios,
    ratios_a_core,
)

_PACKAGES: Final = (
    "tickrec", "faust-streaming", "aiokafka", "confluent-kafka", "redis", "hiredis", "msgspec",
    "numpy", "fastapi", "uvicorn", "uvloop", "httptools",
)  # fmt: skip
_CPUINFO: Final = Path("/proc/cpuinfo")


_MANY_TIMES: Final = 1.5
"""Below, a ratio is shown with more digits, so that 1 % is visible."""


class Servers(NamedTuple):
    """The names and versions of what a benchmark ran on."""

    broker: str
    store: str


@dataclass(frozen=True, slots=True)
class Report:
    """A result, for machines and for people."""

    figures: Sequence[Mapping[str, Any]]
    """each a line of JSON"""
    printed: Sequence[RenderableType]
    """tables and sentences"""

    def lines(self) -> str:
        """Return lines of JSON."""
        return "".join(line(**one) for one in self.figures)

    def show(self, console: Console) -> None:
        """Print tables and sentences."""
        for one in self.printed:
            console.print(one)


def compared(
    name: str, work: str, unit: str, runs: Mapping[str, Sequence[Run]], servers: Servers
) -> Report:
    """Report how fast ours, the first contender, was against the second: the baseline."""
    (ours, its), baseline = runs.values(), list(runs)[1]
    ratio, a_core = ratios(ours, its), ratios_a_core(ours, its)
    spreads = {"value": rates(ours), "baseline_value": rates(its)}
    spreads |= {"ratio": ratio, "ratio_per_core_used": a_core}
    figures = _figures(name, work, unit, {"ours": ours, "baseline": its}, spreads, servers)
    digits = ".1f" if ratio.median >= _MANY_TIMES else ".3f"
    verdict = (
        f"[bold]{ratio.median:{digits}} times[/] {baseline} "
        f"({ratio:{digits}} in {len(ours)} rounds); "
        f"per core used {a_core.median:{digits}} times ({a_core:{digits}})"
    )
    on = conditions(*servers, busy_neighbors([*ours, *its]))
    return Report(
        [{**figures, "baseline": baseline}], [_rates_table(work, unit, runs), verdict, on]
    )


def _figures(
    name: str,
    work: str,
    unit: str,
    runs: Mapping[str, Sequence[Run]],
    spreads: Mapping[str, Spread],
    servers: Servers,
) -> dict[str, Any]:
    """Return the fields of a line of JSON: the median of each spread, and its ends apart."""
    digits = {
        name: (2 if spread.median >= _MANY_TIMES else 3) if name.startswith("ratio") else None
        for name, spread in spreads.items()
    }
    return {
        "name": name,
        "work": work,
        "unit": unit,
        **{name: round(spread.median, digits[name]) for name, spread in spreads.items()},
        "spread": {name: ends(spread, digits[name]) for name, spread in spreads.items()},
        "rounds": len(runs["ours"]),
        "records": {who: its[0].records for who, its in runs.items()},
        "cpu_s": {who: rounded(cpu_seconds(its)) for who, its in runs.items()},
        "busy_other_cores": ends(busy_neighbors([run for its in runs.values() for run in its]), 2),
        **servers._asdict(),
    }


def _rates_table(title: str, unit: str, contenders: Mapping[str, Sequence[Run]]) -> Table:
    parts = [who for who in next(iter(contenders.values()))[0].cpu_s if who != "others"]
    rows = []
    for name, runs in contenders.items():
        rate, cpu = rates(runs), cpu_us_a_record(runs)
        its = (f"{cpu[who]:.2f}" for who in parts)
        rows.append((name, f"{rate.median:,.0f}", f"{rate:,.0f}", *its))
    columns = ("", unit, "least .. greatest", *(f"{who}, CPU us each" for who in parts))
    return table(columns, rows, title)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> Table:
    """Return a table whose first column is of names, and whose others are of figures."""
    made = Table(title=title, box=None, header_style="bold", title_justify="left")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place else "left", vertical="bottom")
    for row in rows:
        made.add_row(*row)
    return made


def conditions(broker: str, store: str, others: Spread) -> Text:
    """Return what a result was measured on."""
    busy = f"others kept {others.least:.2f} to {others.greatest:.2f} cores busy"
    return Text(f"{computer()}, {broker}, {store}; {busy}", style="dim")


def line(**said: Any) -> str:
    """Return one line of JSON, with the machine and the versions."""
    said |= {"machine": machine(), "versions": versions()}
    return msgspec.json.encode(said).decode() + "\n"


def ends(spread: Spread, digits: int | None = None) -> list[float]:
    """Return the least and the greatest."""
    return [round(spread.least, digits), round(spread.greatest, digits)]


def rounded(values: Mapping[str, float], digits: int = 3) -> dict[str, float]:
    """Return the values with a few digits after the point."""
    return {name: round(value, digits) for name, value in values.items()}


def machine() -> dict[str, str | int]:
    """Return the processor, how many cores of it there are, and the operating system."""
    return {
        "cpu": _cpu_model(_CPUINFO.read_text() if _CPUINFO.exists() else ""),
        "cores": psutil.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
    }


def computer() -> str:
    """Return the processor and its cores in words."""
    on = machine()
    return f"{on['cpu']}, {on['cores']} cores"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that do the work."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _cpu_model(cpuinfo: str) -> str:
    r"""Return the processor's name.

    >>> _cpu_model("processor: 0\nmodel name\t: AMD EPYC 7763\n")
    'AMD EPYC 7763'
    """
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
