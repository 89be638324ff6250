"""The command `flood`: a quiet phase and each flood in turn, and their effect on the others."""

import io
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Final

import psutil
import typer
from rich.console import Console

from benchmarks.flood.flooders import Flood, Flooded, flood
from benchmarks.flood.others import RATES, Heard, Kind, ask
from benchmarks.harness import session
from benchmarks.harness.child import child, meet, meeting
from benchmarks.harness.cpu import read_clock, spent
from benchmarks.harness.latencies import Latencies
from benchmarks.harness.report import Report, conditions, rounded, table
from benchmarks.harness.rounds import Spread
from benchmarks.harness.stage import Stage
from benchmarks.reads import data
from benchmarks.reads.minutes import Minutes
from benchmarks.reads.scene import Asked

BAR_S: Final = 0.05
"""that the p99 of the others' reads must stay below"""
QUIET: Final = "quiet"
_SIZE: Final = data.Size(instruments=2_000, users=2_000)
_STREAMS_PER_CLIENT: Final = 100
"""the API's default"""
_WARM_UP_S: Final = 4
"""of the others alone, which is not measured: lists are read, connections made"""
_END_WITHIN_S: Final = 60
_PROCESSES: Final = ("api", "flooder", "store")
_OF_OTHERS: Final = (
    "", "p50, ms", "p99, ms", "least .. greatest", "most, ms", "refused", "lost",
)  # fmt: skip
_OF_FLOODS: Final = (
    "flood, most in a round", "connections", "at a time", "refused",
    *(f"{who}, cores" for who in _PROCESSES),
    "api, MB", "readers' clock late, p99, ms",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of one round."""

    heard: Mapping[Kind, Heard]
    flooded: Flooded
    cores: Mapping[str, float]
    """that each process kept busy"""
    rss_mb: float
    """of the API at the end"""


def flood_others(
    rounds: session.Rounds = 3,
    seconds: Annotated[int, typer.Option(min=2, help="of each phase")] = 12,
    kinds: Annotated[
        list[Flood] | None, typer.Option("--flood", help="may be repeated; all if absent")
    ] = None,
    *,
    json: session.Json = False,
) -> None:
    """Ordinary reads and writes, while somebody floods the API."""
    with session.on_stage() as stage:
        session.present(measure(stage, rounds, seconds, kinds or list(Flood)), json=json)


def measure(stage: Stage, rounds: int, seconds: int, kinds: Sequence[Flood]) -> Report:
    """Let the others ask while nobody floods, and in each flood.

    Raises:
        ContenderError: a process failed.
    """
    namespace = stage.namespace()
    address, keys, topology = stage.store.address, namespace.keys, namespace.topology
    now_ms = time.time_ns() // 1_000_000
    data.load(address, keys, topology, _SIZE, now_ms, Console(file=io.StringIO()))
    minutes = Minutes(address, keys, topology, _SIZE.instruments, data.SEED)
    phases: dict[str, list[Phase]] = defaultdict(list)
    with stage.api(namespace, streams_per_client=_STREAMS_PER_CLIENT) as (pid, port):
        api = Asked("api", port, pid)
        minutes.cover(_WARM_UP_S)
        _phase(stage, api, _WARM_UP_S, None)
        for number in range(rounds):
            for kind in (None, *kinds):
                minutes.cover(seconds)
                phase = _phase(stage, api, seconds, kind)
                api.settle()
                name = kind or QUIET
                phases[name].append(phase)
                p99_ms = Latencies.of(phase.heard["reads"].latency_s).p99_s * 1000
                said = f"round {number + 1}: {name}: p99 of reads {p99_ms:.1f} ms"
                session.progress.print(said, style="dim")
    return report_of(stage, phases, rounds, seconds)


def _phase(stage: Stage, api: Asked, seconds: int, kind: Flood | None) -> Phase:
    start = meeting(of=2 if kind is None else 3)
    pids = {"api": api.pid, **stage.pids}
    with child(start, ask, api.port, seconds, _SIZE.instruments, _SIZE.users) as others:
        pids["readers"] = others.pid
        if kind is None:
            meet(start)
            cores, rss_mb = _watch(pids, api.pid, seconds)
            return Phase(others.result(_END_WITHIN_S), Flooded(), cores, rss_mb)
        with child(start, flood, kind, api.port, seconds) as flooder:
            pids["flooder"] = flooder.pid
            meet(start)
            cores, rss_mb = _watch(pids, api.pid, seconds)
            flooded = flooder.result(_END_WITHIN_S)
            return Phase(others.result(_END_WITHIN_S), flooded, cores, rss_mb)


def _watch(pids: Mapping[str, int], api: int, seconds: int) -> tuple[dict[str, float], float]:
    """Return the cores that were busy, and the API's memory just before the end."""
    watched_s = seconds - 1
    before = read_clock(pids)
    # Not to the end: a process that has ended has no clock.
    time.sleep(watched_s)
    cpu_s = spent(before, read_clock(pids))
    rss_mb = psutil.Process(api).memory_info().rss / 1e6
    return rounded({who: cpu / watched_s for who, cpu in cpu_s.items()}, 2), rss_mb


def report_of(
    stage: Stage, phases: Mapping[str, Sequence[Phase]], rounds: int, seconds: int
) -> Report:
    """Return what the phases came to, by name, the first of them the quiet one."""
    work = (
        f"{RATES['reads']} hot reads/s, {RATES['newcomers']} on new connections, "
        f"{RATES['writes']} writes/s, {seconds} s a phase, {rounds} rounds"
    )
    figures, rows, floods, failed = [], [], [], []
    for name, its in phases.items():
        of_kinds = {kind: [phase.heard[kind] for phase in its] for kind in RATES}
        latencies = {
            kind: [Latencies.of(heard.latency_s) for heard in of_kind]
            for kind, of_kind in of_kinds.items()
        }
        p99 = Spread.of([one.p99_s for one in latencies["reads"]])
        bad = sum(heard.refused + heard.lost for each in of_kinds.values() for heard in each)
        if p99.median >= BAR_S or bad:
            failed.append(name)
        figures.append(_figures(stage, name, work, its, latencies, bad))
        rows += [_row(name, kind, of_kinds[kind], latencies[kind]) for kind in RATES]
        floods.append(_flood_row(name, its))
    others = Spread.of([phase.cores["others"] for its in phases.values() for phase in its])
    style, verdict = ("red", f"failed: {', '.join(failed)}") if failed else ("green", "held")
    printed = (
        f"[bold]{work}[/]",
        table(_OF_OTHERS, rows),
        table(_OF_FLOODS, floods),
        f"[{style}]p99 of reads below {BAR_S * 1000:.0f} ms and nobody refused: {verdict}[/]",
        conditions(*stage.servers, others),
    )
    return Report(figures, printed)


def _row(
    name: str, kind: Kind, heard: Sequence[Heard], latencies: Sequence[Latencies]
) -> tuple[str, ...]:
    p50 = Spread.of([1000 * one.p50_s for one in latencies])
    p99 = Spread.of([1000 * one.p99_s for one in latencies])
    return (
        f"{name}: {kind}",
        f"{p50.median:.1f}",
        f"{p99.median:.1f}",
        f"{p99:.1f}",
        f"{max(1000 * one.max_s for one in latencies):.0f}",
        f"{sum(one.refused for one in heard):,}",
        f"{sum(one.lost for one in heard):,}",
    )


def _flood_row(name: str, its: Sequence[Phase]) -> tuple[str, ...]:
    late = [Latencies.of(phase.heard["reads"].late_s).p99_s for phase in its]
    flooded = [phase.flooded for phase in its]
    return (
        name,
        f"{max(one.connections for one in flooded):,}",
        f"{max(one.open_most for one in flooded):,}",
        f"{max(one.refused for one in flooded):,}",
        *(f"{max(phase.cores.get(who, 0.0) for phase in its):.2f}" for who in _PROCESSES),
        f"{max(phase.rss_mb for phase in its):.0f}",
        f"{max(late) * 1000:.1f}",
    )


def _figures(
    stage: Stage,
    name: str,
    work: str,
    its: Sequence[Phase],
    latencies: Mapping[Kind, Sequence[Latencies]],
    bad: int,
) -> dict[str, object]:
    p99 = Spread.of([one.p99_s for one in latencies["reads"]])
    return {
        "name": f"flood: {name}",
        "work": work,
        "value": p99.median,
        "unit": "s, p99 of reads",
        "spread": [p99.least, p99.greatest],
        "baseline": None,
        "ratio": None,
        "latency": {kind: [asdict(one) for one in each] for kind, each in latencies.items()},
        "refused_or_lost": bad,
        "flood": [asdict(phase.flooded) for phase in its],
        "cores": [phase.cores for phase in its],
        "rss_mb": [round(phase.rss_mb) for phase in its],
        **stage.servers._asdict(),
    }
