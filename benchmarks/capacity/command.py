"""The command `capacity`: machines for a feed and an audience."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.capacity.costs import MEASURED, Costs, read_costs
from benchmarks.capacity.demand import Demand
from benchmarks.capacity.plan import REPLICATION, Plan, describe, plan
from benchmarks.harness import session
from benchmarks.harness.report import Report, table


def capacity(
    quotes_per_s: Annotated[float, typer.Option(min=0, help="of the feed")] = 50_000,
    instruments: Annotated[int, typer.Option(min=1)] = 50_000,
    users: Annotated[float, typer.Option(min=0, help="a day; all of them have a history")] = 0,
    calls: Annotated[
        float, typer.Option(min=0, help="of a user a day, to each of four endpoints")
    ] = 10,
    peak: Annotated[
        float, typer.Option(min=1, help="times the day's mean, in the busiest hour")
    ] = 3,
    items: Annotated[float, typer.Option(min=1, help="in a user's history, on average")] = 50,
    utilization: Annotated[
        float, typer.Option(min=0.1, max=1, help="share of its time that a machine works at peak")
    ] = 0.6,
    costs: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="JSON file of unit costs")
    ] = MEASURED,
    *,
    json: session.Json = False,
) -> None:
    """Multiply unit costs: workers, shards, API processes, brokers, and the first bottleneck."""
    demand, unit = Demand(quotes_per_s, instruments, users, calls, peak, items), read_costs(costs)
    session.present(report(unit, demand, plan(unit, demand, utilization), utilization), json=json)


def report(costs: Costs, demand: Demand, made: Plan, utilization: float) -> Report:
    """Report the machines for a demand."""
    work = made.work
    rows = [
        ("workers", made.workers, work.quotes_cores + work.events_cores, ""),
        ("shards of Redis", made.shards, work.store_cores, f"{made.shard_gb:.1f} GB each"),
        ("API processes", made.apis, work.api_cores, ""),
        ("cores of brokers", made.brokers_cores, work.broker_cores * REPLICATION, ""),
    ]
    shown = [(name, f"{n:,}", f"{cores:.2f}", gb) for name, n, cores, gb in rows]
    details = (
        f"{made.partitions} partitions a topic; {work.bars_per_s:,.0f} bars/s; "
        f"{work.pairs:,.0f} counts of pairs; Redis holds {work.store_gb:,.1f} GB\n"
        f"workers: {work.quotes_cores:.2f} cores of quotes, {work.events_cores:.2f} of events; "
        f"Redis: {work.store_quotes_cores:.2f} of quotes, {work.store_events_cores:.2f} of events, "
        f"{work.store_reads_cores:.2f} of reads\n"
        f"log: {work.log_gb_a_day:,.0f} GB a day, {made.log_tb:,.1f} TB kept in {REPLICATION} "
        f"replicas, {made.network_mb_per_s:,.1f} MB/s into brokers"
    )
    alone = ", ".join(f"{name} {cores:.2f} cores" for name, cores in made.undivided)
    figures = {
        "name": "capacity",
        "work": describe(demand),
        "utilization": utilization,
        "costs": costs.measured,
        "plan": asdict(made),
    }
    printed = (
        f"[bold]{describe(demand)}; each machine busy {utilization:.0%} of its time at peak[/]",
        table(("", "machines", "cores of work", ""), shown),
        details,
        _first_to_break(made.exhausted),
        f"of one machine, however many there are, at most: {alone}",
    )
    return Report([figures], printed)


def _first_to_break(exhausted: Sequence[tuple[str, float]]) -> str:
    (first, times), *rest = exhausted
    others = ", ".join(f"{name} {its:.2f}" for name, its in rest)
    if times > 1:
        return f"of one each, [bold]{first}[/] breaks first: {times:.2f} are needed; {others}"
    return f"one of each is enough; [bold]{first}[/] is nearest to its limit: {times:.2f}; {others}"
