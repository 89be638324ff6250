"""The results of a benchmark, and their conditions: lines of JSON, or a table."""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    R,
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


_RATIO_DIGITS: Final = 3
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


class Judged(NamedTuple):
    """What a scenario says of a pair of contenders, besides their ratio."""

    fields: Mapping[str, Any]
    """of the line of JSON"""
    words: str
    """of the sentence"""


_NOT_JUDGED: Final = Judged({}, "")


def met(reached: bool) -> str:  # noqa: FBT001 (the only argument)
    """Return in words whether a target was reached."""
    return "[green]reached[/]" if reached else "[red]not reached[/]"


def compared(
    name: str,
    work: str,
    unit: str,
    runs: Mapping[str, Sequence[R]],
    servers: Servers,
    columns: Mapping[str, Callable[[Sequence[R]], str]] | None = None,
    judged: Judged = _NOT_JUDGED,
) -> Report:
    """Report how fast a contender was against a baseline.

    Args:
        name: of the benchmark.
        work: what was done, in words.
        unit: of a rate.
        runs: of the contender and of the baseline, round by round.
        servers: that it ran on.
        columns: of the table, besides the rates and the CPU: what to say of a contender's runs.
        judged: what else to say of the two.
    """
    (ours, its_runs), (baseline, baseline_runs) = runs.items()
    neighbors = busy_neighbors([*its_runs, *baseline_runs])
    spreads = {
        "value": rates(its_runs),
        "baseline_value": rates(baseline_runs),
        "ratio": ratios(its_runs, baseline_runs),
    }
    if "worker" in its_runs[0].cpu_s:
        spreads["ratio_per_core_used"] = ratios_a_core(its_runs, baseline_runs)
    both = {"ours": its_runs, "baseline": baseline_runs}
    figures = {
        "name": name,
        "work": work,
        "unit": unit,
        "contender": ours,
        "baseline": baseline,
        **{which: round(its.median, _digits(which)) for which, its in spreads.items()},
        "spread": {which: ends(its, _digits(which)) for which, its in spreads.items()},
        "rounds": len(its_runs),
        "records": {who: [run.records for run in its] for who, its in both.items()},
        "cpu_s": {who: rounded(cpu_seconds(its)) for who, its in both.items()},
        "busy_other_cores": ends(neighbors, 2),
        **servers._asdict(),
        **judged.fields,
    }
    verdict = _verdict(ours, baseline, spreads, len(its_runs), judged.words)
    table_of_rates = _rates_table(work, unit, runs, columns or {})
    return Report([figures], (table_of_rates, verdict, conditions(*servers, neighbors)))


def _digits(which: str) -> int | None:
    return _RATIO_DIGITS if which.startswith("ratio") else None


def _verdict(
    ours: str, baseline: str, spreads: Mapping[str, Spread], rounds: int, words: str
) -> str:
    ratio, a_core = spreads["ratio"], spreads.get("ratio_per_core_used")
    digits = ".1f" if ratio.median >= _MANY_TIMES else ".3f"
    said = (
        f"{ours}: [bold]{ratio.median:{digits}} times[/] {baseline} "
        f"({ratio:{digits}} in {rounds} rounds)"
    )
    if a_core:
        said += f"; per core used {a_core.median:{digits}} times ({a_core:{digits}})"
    return f"{said}; {words}" if words else said


def _rates_table(
    title: str,
    unit: str,
    contenders: Mapping[str, Sequence[R]],
    columns: Mapping[str, Callable[[Sequence[R]], str]],
) -> Table:
    every = {who: None for runs in contenders.values() for who in runs[0].cpu_s if who != "others"}
    rows = []
    for name, runs in contenders.items():
        rate, cpu = rates(runs), cpu_us_a_record(runs)
        more = (cell(runs) for cell in columns.values())
        each = (f"{cpu[who]:.2f}" if who in cpu else "" for who in every)
        rows.append((name, f"{rate.median:,.0f}", f"{rate:,.0f}", *more, *each))
    titles = ("", unit, "least .. greatest", *columns, *(f"{who}, CPU us each" for who in every))
    return table(titles, rows, title)


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
