"""A plan, and the results of its simulation: lines of JSON, or tables."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.demand import Demand
from benchmarks.capacity.plan import REPLICATION, Plan, describe
from benchmarks.capacity.simulated.deployment import Fleet, Load
from benchmarks.harness.report import Report, table

_MS: Final = 1e3


def report_plan(costs: Costs, demand: Demand, plan: Plan, utilization: float) -> Report:
    """Report the machines for a demand."""
    work = plan.work
    store_cores = work.store_quotes_cores + work.store_events_cores + work.store_reads_cores
    rows = [
        ("workers", plan.workers, work.quotes_cores + work.events_cores, ""),
        ("shards of Redis", plan.shards, store_cores, f"{plan.shard_gb:.1f} GB each"),
        ("API processes", plan.apis, work.api_cores, ""),
        ("cores of brokers", plan.brokers_cores, work.broker_cores * REPLICATION, ""),
    ]
    shown = [(name, f"{n:,}", f"{cores:.2f}", gb) for name, n, cores, gb in rows]
    details = (
        f"{plan.partitions} partitions a topic; {work.bars_per_s:,.0f} bars/s; "
        f"{work.pairs:,.0f} entries of pairs; Redis holds {work.store_gb:,.1f} GB\n"
        f"workers: {work.quotes_cores:.2f} cores of quotes, {work.events_cores:.2f} of events; "
        f"Redis: {work.store_quotes_cores:.2f} of quotes, {work.store_events_cores:.2f} of events, "
        f"{work.store_reads_cores:.2f} of reads\n"
        f"log: {work.log_gb_a_day:,.0f} GB a day, {plan.log_tb:,.1f} TB kept in {REPLICATION} "
        f"replicas, {plan.network_mb_per_s:,.1f} MB/s into brokers"
    )
    sentence = _first_to_break(plan.exhausted)
    alone = ", ".join(f"{name} {cores:.2f} cores" for name, cores in plan.undivided)
    figures = {
        "name": "capacity: plan",
        "work": describe(demand),
        "utilization": utilization,
        "costs": costs.measured,
        "plan": asdict(plan),
    }
    title = f"{describe(demand)}; each machine busy {utilization:.0%} of its time at peak"
    columns = ("", "machines", "cores of work", "")
    printed = (
        f"[bold]{title}[/]",
        table(columns, shown),
        details,
        sentence,
        f"of one machine, however many there are, at most: {alone}",
    )
    return Report([figures], printed)


def _first_to_break(exhausted: Sequence[tuple[str, float]]) -> str:
    (first, times), *rest = exhausted
    others = ", ".join(f"{name} {its:.2f}" for name, its in rest)
    if times > 1:
        return f"of one each, [bold]{first}[/] breaks first: {times:.2f} are needed; {others}"
    return f"one of each is enough; [bold]{first}[/] is nearest to its limit: {times:.2f}; {others}"


def report_load(
    demand: Demand,
    fleet: Fleet,
    part: int,
    load: Load,
    quotes_per_s: float,
    reads_per_s: float | None,
) -> Report:
    """Report what a fleet was simulated to do."""
    of = "" if part == 1 else f"1/{part} of the machines and of the load: "
    machines = (
        f"{fleet.workers} workers, {len(fleet.shares)} partitions, {fleet.shards} shards, "
        f"{fleet.apis} API processes"
    )
    rows = [
        (
            "quotes",
            f"{quotes_per_s:,.0f}/s",
            f"{load.freshness.p50_s * _MS:,.0f} ms",
            f"{load.freshness.p99_s * _MS:,.0f} ms",
        )
    ]
    if load.reads is not None and reads_per_s is not None:
        p50_ms, p99_ms = load.reads.p50_s * _MS, load.reads.p99_s * _MS
        rows.append(("requests", f"{reads_per_s:,.0f}/s", f"{p50_ms:,.1f} ms", f"{p99_ms:,.1f} ms"))
    columns = ("of all of it", "saturation", "p50 at the demand", "p99")
    busiest = (
        f"busiest worker {load.busiest_worker:.0%}, shard {load.busiest_shard:.0%}, "
        f"API process {load.busiest_api:.0%} of its time: [bold]{load.breaks_first}[/] breaks first"
    )
    figures = {
        "name": "capacity: simulate",
        "work": describe(demand),
        "part": part,
        "fleet": asdict(fleet),
        "saturation": {"quotes_per_s": quotes_per_s, "requests_per_s": reads_per_s},
        "breaks_first": load.breaks_first,
        "load": asdict(load),
    }
    title = f"[bold]{describe(demand)}[/]; simulated: {of}{machines}"
    return Report([figures], (title, table(columns, rows), busiest))
