"""The commands of `capacity`: `costs`, `plan`, `simulate` and `check`."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from benchmarks.capacity.checking import compare, report
from benchmarks.capacity.costs import DEFAULT, Costs, read_costs
from benchmarks.capacity.demand import Demand
from benchmarks.capacity.measured.calibration import calibrated
from benchmarks.capacity.measured.runs import measure_costs, measure_predicted
from benchmarks.capacity.plan import plan
from benchmarks.capacity.simulated import deployment
from benchmarks.capacity.tables import report_load, report_plan
from benchmarks.harness import session
from benchmarks.harness.report import computer

_DEMAND: Final = Demand(50_000, 50_000, users=0, calls=10, peak=3, items=50)
_UTILIZATION: Final = 0.6
_SIMULATED_S: Final = 8.0
_DIGITS: Final = 4

app = typer.Typer(
    no_args_is_help=True, help="Machines for a feed and an audience, from measured unit costs."
)

CostsFile = Annotated[
    Path | None,
    typer.Option("--costs", help="that `costs` printed [default: those measured for the tables]"),
]
Quotes = Annotated[float, typer.Option("--quotes-per-s", min=0, help="of the feed")]
Instruments = Annotated[int, typer.Option(min=1)]
Users = Annotated[float, typer.Option(min=0, help="a day; all of them have a history")]
Calls = Annotated[float, typer.Option(min=0, help="of a user a day, to each of four endpoints")]
Peak = Annotated[float, typer.Option(min=1, help="times the day's mean, in the busiest hour")]
Items = Annotated[float, typer.Option(min=1, help="in a user's history, on average")]
Utilization = Annotated[
    float, typer.Option(min=0.1, max=1, help="share of its time that a machine works at peak")
]


@app.command("costs")
def print_costs() -> None:
    """Measure unit costs on servers of its own, and print them as JSON for `--costs`."""
    found = calibrated(measure_costs(), f"{time.strftime('%Y-%m-%d')}, {computer()}")
    printed = msgspec.json.encode(_rounded(msgspec.to_builtins(found)))
    sys.stdout.write(msgspec.json.format(printed).decode() + "\n")


@app.command("plan")
def print_plan(
    quotes_per_s: Quotes = _DEMAND.quotes_per_s,
    instruments: Instruments = _DEMAND.instruments,
    users: Users = _DEMAND.users,
    calls: Calls = _DEMAND.calls,
    peak: Peak = _DEMAND.peak,
    items: Items = _DEMAND.items,
    utilization: Utilization = _UTILIZATION,
    costs: CostsFile = None,
    *,
    json: session.Json = False,
) -> None:
    """Multiply unit costs out: workers, shards, API processes, brokers, and what breaks first."""
    demand, its = Demand(quotes_per_s, instruments, users, calls, peak, items), _costs(costs)
    made = plan(its, demand, utilization)
    session.present(report_plan(its, demand, made, utilization), json=json)


@app.command()
def simulate(
    quotes_per_s: Quotes = _DEMAND.quotes_per_s,
    instruments: Instruments = _DEMAND.instruments,
    users: Users = _DEMAND.users,
    calls: Calls = _DEMAND.calls,
    peak: Peak = _DEMAND.peak,
    items: Items = _DEMAND.items,
    utilization: Utilization = _UTILIZATION,
    part: Annotated[
        int, typer.Option(min=1, help="1/n of the machines and of the load stands for all")
    ] = 1,
    skew: Annotated[
        float, typer.Option(min=0, help="Zipf exponent of how often instruments quote; 0: evenly")
    ] = 0,
    costs: CostsFile = None,
    *,
    json: session.Json = False,
) -> None:
    """Play a planned deployment through: saturation, freshness of quotes, latency of requests."""
    demand, its = Demand(quotes_per_s, instruments, users, calls, peak, items), _costs(costs)
    fleet = deployment.Fleet.of(plan(its, demand, utilization), part, skew, instruments)
    load = deployment.simulate(its, demand, fleet, part, _SIMULATED_S)
    most_quotes = deployment.saturation_of_quotes(its, demand, fleet, part)
    most_reads = deployment.saturation_of_reads(its, fleet, part) if users else None
    found = report_load(demand, fleet, part, load, most_quotes, most_reads)
    session.present(found, json=json)


@app.command()
def check(
    rounds: session.Rounds = 3,
    costs: CostsFile = None,
    *,
    json: session.Json = False,
) -> None:
    """Measure runs that the costs were not taken from, and compare them with predictions."""
    measured = measure_predicted(rounds)
    points = list(compare(_costs(costs), measured))
    session.present(report(points, measured), json=json)


def _rounded(value: Any) -> Any:
    """Round all numbers to what runs repeat."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(its) for name, its in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(its) for its in value]
    return value


def _costs(path: Path | None) -> Costs:
    return DEFAULT if path is None else read_costs(path)
