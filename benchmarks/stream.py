"""Live bars to a thousand clients of one API process, while a worker's sink writes all bars.

Hypothesis: one process sends a thousand clients every change of their bars, none lost and none out
of order, with half a core left, as each bar is decoded and encoded once however many listen to it.

Work: 1,000 clients in one process, each with a connection of its own and 10 of 50,000 instruments,
chosen evenly. `stream_flush` writes a bar of each instrument once a second through the workers' own
sink, 50,000 bars a second, a partition after the other. The latency of a bar runs from its making,
before it is encoded and written, to the moment at which a client has it. Worker, store, API and
clients share the machine. The API is asked for its memory before the first client and at the end.

Baseline: the clock. What is published is one bar in 50,000 for each client and instrument.
"""

import contextlib
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx
import psutil
from rich.console import Console

from benchmarks.child import child
from benchmarks.cpu import spent
from benchmarks.crew import read_all, serving
from benchmarks.latency import Latencies
from benchmarks.report import line, rounded, show_conditions
from benchmarks.rounds import Spread
from benchmarks.stage import ContenderError, Stage
from benchmarks.stream_clients import Heard, Listening
from benchmarks.stream_flush import Flushed, Flushing
from infra.local.process import LOOPBACK, Server, free_port, running

_END_WITHIN_S: Final = 120
_CUT_S: Final = 1.0
"""At both ends of a run, which its CPU is not measured in."""
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Audience:
    """Who listens to what, and for how long."""

    clients: int
    seconds: int
    instruments: int = 50_000
    of_each: int = 10

    def __str__(self) -> str:
        return (
            f"{self.clients:,} clients of one process, {self.of_each} of {self.instruments:,} "
            f"instruments each (evenly), {self.instruments:,} bars/s written, {self.seconds} s"
        )


@dataclass(frozen=True, slots=True)
class Streamed:
    """How it went."""

    audience: Audience
    heard: Heard
    flushed: Flushed
    cpu_s: dict[str, float]
    rss_before: int
    rss_after: int
    broker: str
    store: str

    @property
    def latencies(self) -> Latencies:
        """From the making of a bar to its coming."""
        return Latencies.of(self.heard.latency_s)

    @property
    def seconds(self) -> float:
        """From the first bar to the last one."""
        return self.heard.last_s - self.heard.first_s

    @property
    def rate(self) -> float:
        """Bars a second that came."""
        return len(self.heard.latency_s) / self.seconds

    def cores(self) -> dict[str, float]:
        """Return how many cores each process kept busy, and everything else on the machine."""
        measured_s = self.audience.seconds - 2 * _CUT_S
        return {who: cpu / measured_s for who, cpu in self.cpu_s.items()}

    def lines(self) -> str:
        """Return everything as one line of JSON."""
        found = self.latencies
        return line(
            name="stream",
            work=str(self.audience),
            value=round(self.rate),
            unit="bars/s delivered",
            baseline=None,
            ratio=None,
            delivered=found.count,
            latency={
                "p50_s": round(found.p50_s, 4),
                "p99_s": round(found.p99_s, 4),
                "max_s": round(found.max_s, 4),
            },
            lost=self.heard.lost,
            disordered=self.heard.disordered,
            ended=self.heard.ended,
            refused=self.heard.refused,
            cores=rounded(self.cores()),
            rss_mb={
                "before": round(self.rss_before / _MB, 1),
                "after": round(self.rss_after / _MB, 1),
            },
            flush={
                "most_late_s": round(self.flushed.most_late_s, 3),
                "write_s": round(self.flushed.write_s, 4),
            },
            busy_other_cores=round(self.cores()["others"], 2),
            broker=self.broker,
            store=self.store,
        )

    def show(self, console: Console) -> None:
        """Print what came, what it cost, and what it was measured on."""
        found, heard = self.latencies, self.heard
        console.print(str(self.audience), style="bold")
        console.print(
            f"[bold]{self.rate:,.0f} bars/s[/] delivered; from made to received p50 "
            f"{found.p50_s * 1000:.0f} ms, p99 {found.p99_s * 1000:.0f} ms, "
            f"most {found.max_s * 1000:.0f} ms"
        )
        style = "red" if heard.lost or heard.disordered or heard.ended else "green"
        console.print(
            f"[{style}]{heard.lost} lost, {heard.disordered} out of order, "
            f"{heard.ended} streams ended[/]"
        )
        cores = ", ".join(
            f"{who} {cpu:.2f}" for who, cpu in self.cores().items() if who != "others"
        )
        console.print(f"cores: {cores}; the API {self._memory()}")
        others = self.cores()["others"]
        show_conditions(console, self.broker, self.store, Spread(others, others, others))

    def _memory(self) -> str:
        a_client = (self.rss_after - self.rss_before) / self.audience.clients / 1000
        return f"has {self.rss_after / _MB:.0f} MB, {a_client:.0f} kB a client"


def measure(stage: Stage, audience: Audience) -> Streamed:
    """Let all clients listen while all bars are written.

    Raises:
        ContenderError: a process failed, or nothing came.
    """
    stage.client.flushall()
    namespace, port = f"bench-{uuid.uuid4().hex[:8]}", free_port()
    partitions = stage.make_topics(namespace).quotes
    listening = Listening(
        LOOPBACK, port, audience.clients, audience.instruments, audience.of_each, audience.seconds
    )
    flushing = Flushing(audience.instruments, partitions, audience.seconds)
    with (
        _api(stage, namespace, port) as api,
        child(stage, namespace, "benchmarks.stream_flush", flushing) as flush,
    ):
        flush.await_ready()
        rss_before = psutil.Process(api.pid).memory_info().rss
        with child(stage, namespace, "benchmarks.stream_clients", listening) as clients:
            clients.await_ready()
            pids = {"api": api.pid, "sink": flush.process.pid, "clients": clients.process.pid}
            clients.go()
            flush.go()
            time.sleep(_CUT_S)
            before = read_all(stage, pids)
            # Looked at while all run: a process that has ended has no clock.
            time.sleep(audience.seconds - 2 * _CUT_S)
            cpu_s = spent(before, read_all(stage, pids))
            rss_after = psutil.Process(api.pid).memory_info().rss
            flushed = flush.result(Flushed, _END_WITHIN_S)
            heard = clients.result(Heard, _END_WITHIN_S)
    if not heard.latency_s:
        raise ContenderError("no bar came to any client")
    servers = (stage.broker.product, stage.store.product)
    return Streamed(audience, heard, flushed, cpu_s, rss_before, rss_after, *servers)


@contextlib.contextmanager
def _api(stage: Stage, namespace: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    settings = {"API_HOST": LOOPBACK, "API_PORT": str(port)}
    command = serving(stage, namespace, "api", "api", settings)
    address = f"http://{LOOPBACK}:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/health/ready", timeout=1).is_success
        except httpx.HTTPError:
            return False

    with running(Server(command, address, "tickrec", answers)) as process:
        yield process
