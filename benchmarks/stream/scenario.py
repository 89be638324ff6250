"""Live bars to a thousand clients of one API process, while a worker's sink writes all bars.

Hypothesis: one process sends a thousand clients every change of their bars, none lost and none out
of order, with half a core left, as each bar is decoded and encoded once however many listen to it.

Work: 1,000 clients in one process, each with a connection of its own and 10 of 50,000 instruments,
chosen evenly. `writer` writes a bar of each instrument once a second through the workers' own sink,
50,000 bars a second, a partition after the other. The latency of a bar runs from its making, before
it is encoded and written, to the moment at which a client has it. Worker, store, API and clients
share the machine. The API is asked for its memory before the first client and at the end.

Baseline: the clock. What is published is one bar in 50,000 for each client and instrument.
"""

import time
from dataclasses import asdict
from typing import Annotated, Final

import psutil
import typer

from benchmarks.harness import session
from benchmarks.harness.child import child, meet, meeting
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.cpu import read_clock, spent
from benchmarks.harness.latencies import Latencies
from benchmarks.harness.report import Report, conditions, rounded
from benchmarks.harness.rounds import Spread
from benchmarks.harness.stage import Stage
from benchmarks.stream.clients import listen
from benchmarks.stream.writer import flush

_INSTRUMENTS: Final = 50_000
_OF_EACH: Final = 10
_END_WITHIN_S: Final = 120
_CUT_S: Final = 1.0
"""At both ends of a run, which its CPU is not measured in."""


def stream(
    clients: Annotated[int, typer.Option(min=1, max=4_000, help="of one API process")] = 1_000,
    seconds: Annotated[int, typer.Option(min=5, help="of writing every bar once a second")] = 30,
    *,
    json: session.Json = False,
) -> None:
    """Live bars to many clients over server-sent events, while a worker's sink writes."""
    with session.on_stage() as stage:
        session.present(measure(stage, clients, seconds), json=json)


def measure(stage: Stage, clients: int, seconds: int) -> Report:
    """Let all clients listen while all bars are written.

    Raises:
        ContenderError: a process failed, or nothing came.
    """
    namespace = stage.namespace()
    size = (_INSTRUMENTS, namespace.topology.quotes, seconds)
    start = meeting(of=3)
    with stage.api(namespace) as (api, port):
        rss = [psutil.Process(api).memory_info().rss / 1e6]
        with (
            child(start, flush, stage.store.address, namespace.keys, *size) as writer,
            child(start, listen, port, clients, _INSTRUMENTS, _OF_EACH, seconds) as ears,
        ):
            pids = {"api": api, "sink": writer.pid, "clients": ears.pid, **stage.pids}
            meet(start)
            time.sleep(_CUT_S)
            before = read_clock(pids)
            # Looked at while all run: a process that has ended has no clock.
            measured_s = seconds - 2 * _CUT_S
            time.sleep(measured_s)
            cpu_s = spent(before, read_clock(pids))
            rss.append(psutil.Process(api).memory_info().rss / 1e6)
            flushed, heard = writer.result(_END_WITHIN_S), ears.result(_END_WITHIN_S)
    if not heard.latency_s:
        raise ContenderError("no bar came to any client")
    latency = Latencies.of(heard.latency_s)
    cores = rounded({who: cpu / measured_s for who, cpu in cpu_s.items()})
    rate = len(heard.latency_s) / (heard.last_s - heard.first_s)
    work = (
        f"{clients:,} clients of one process, {_OF_EACH} of {_INSTRUMENTS:,} instruments each "
        f"(evenly), {_INSTRUMENTS:,} bars/s written, {seconds} s"
    )
    figures = {
        "name": "stream",
        "work": work,
        "value": round(rate),
        "unit": "bars/s delivered",
        "baseline": None,
        "ratio": None,
        "delivered": latency.count,
        "latency": {"p50_s": latency.p50_s, "p99_s": latency.p99_s, "max_s": latency.max_s},
        "lost": heard.lost,
        "disordered": heard.disordered,
        "ended": heard.ended,
        "refused": heard.refused,
        "cores": cores,
        "rss_mb": rounded(dict(zip(("before", "after"), rss, strict=True)), 1),
        "flush": rounded(asdict(flushed), 4),
        "busy_other_cores": cores["others"],
        **stage.servers._asdict(),
    }
    ms = tuple(1000 * seconds for seconds in (latency.p50_s, latency.p99_s, latency.max_s))
    came = "from made to received p50 {:.0f} ms, p99 {:.0f} ms, most {:.0f} ms".format(*ms)
    missed = f"{heard.lost} lost, {heard.disordered} out of order, {heard.ended} streams ended"
    style = "red" if heard.lost or heard.disordered or heard.ended else "green"
    each = ", ".join(f"{who} {cpu:.2f}" for who, cpu in cores.items() if who != "others")
    memory = f"has {rss[1]:.0f} MB, {(rss[1] - rss[0]) / clients * 1000:.0f} kB a client"
    printed = (
        f"[bold]{work}[/]",
        f"[bold]{rate:,.0f} bars/s[/] delivered; {came}",
        f"[{style}]{missed}[/]",
        f"cores: {each}; the API {memory}",
        conditions(*stage.servers, Spread.of([cores["others"]])),
    )
    return Report([figures], printed)
