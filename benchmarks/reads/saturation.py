"""Ever more clients that wait for an answer: what is answered, how late, and what is refused.

Past saturation more clients bring no more answers. A server that lets them all in answers each of
them later; ours is to refuse what it cannot answer soon, by a 503 with `Retry-After`, and to go on
answering the others as fast as before. The baseline takes whatever comes. wrk asks again at once,
retry or not, so the share of refusals is larger than clients of good manners would see.
"""

import contextlib
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import conditions, ends, line, rounded, table
from benchmarks.harness.rounds import Say, Spread, busy_neighbors
from benchmarks.reads.answered import Answered
from benchmarks.reads.contests import Both
from benchmarks.reads.paths import bars
from benchmarks.reads.scene import Scene
from benchmarks.reads.wrk import Load

CONNECTIONS: Final = (16, 64, 256, 1_024, 4_096, 8_192)
_FILES_A_CONNECTION: Final = 2
"""a server's: to the client, and to the store at the same time"""
_OTHER_FILES: Final = 512

Curve = Sequence[tuple[int, Answered]]
"""by the number of connections, rising"""


@dataclass(frozen=True, slots=True)
class Saturation:
    """A curve of each contender."""

    work: str
    curves: dict[str, Curve]
    store: str

    def lines(self) -> str:
        """Return a line of JSON for each point."""
        return "".join(
            line(
                name="reads: saturation",
                work=self.work,
                contender=name,
                connections=connections,
                value=round(run.good_rate),
                unit="answers/s that are no refusals",
                baseline=None,
                ratio=None,
                answers=_said(run),
                busy_other_cores=ends(self.neighbors(), 2),
                store=self.store,
            )
            for name, curve in self.curves.items()
            for connections, run in curve
        )

    def neighbors(self) -> Spread:
        """Return how many cores others kept busy."""
        return busy_neighbors([run for curve in self.curves.values() for _, run in curve])

    def show(self, console: Console) -> None:
        """Print a table, and what it was measured on."""
        console.print(_table(self.work, self.curves))
        console.print(conditions("no broker", self.store, self.neighbors()))


def saturate(
    scene: Scene, servers: Both, connections: Sequence[int], seconds: int, say: Say
) -> Saturation:
    """Ask ours and the baseline on ever more connections, once each."""
    endpoint = bars(scene.size)
    curves: dict[str, list[tuple[int, Answered]]] = {}
    for number, clients in enumerate(connections):
        load = Load(endpoint.paths, clients, seconds)
        for server in servers:
            run = scene.ask(load, server)
            curves.setdefault(server.name, []).append((clients, run))
            say(number, f"{server.name}, {clients} connections", run)
    work = f"{endpoint}, ever more connections, one core for the server"
    return Saturation(work, {**curves}, scene.store.product)


@contextlib.contextmanager
def allowed_files(connections: int) -> Iterator[None]:
    """Let this process, and what it starts within the block, have so many connections.

    Raises:
        ContenderError: the system does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _FILES_A_CONNECTION * connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ContenderError(
            f"saturation needs {needed:,} open files a process, but the limit is {hard:,}: "
            "raise it (ulimit -Hn), or choose other parts"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _said(run: Answered) -> dict[str, Any]:
    return {
        "records": run.records,
        "rate": round(run.rate),
        "p50_ms": round(run.p50_s * 1e3, 3),
        "p99_ms": round(run.p99_s * 1e3, 3),
        "max_ms": round(run.max_s * 1e3, 3),
        "share_refused": round(_share_refused(run), 4),
        "broken": run.broken,
        "cpu_s": rounded(run.cpu_s),
        "rss_mb": round(run.rss_bytes / 1e6, 1),
    }


def _share_refused(run: Answered) -> float:
    """Return which part of a run's answers; where many wait there may be none at all."""
    return run.refused / run.records if run.records else 0.0


def _table(title: str, curves: dict[str, Curve]) -> Table:
    columns = ("connections", "good answers/s", "p50 ms", "p99 ms", "refused", "no answer")
    rows = (
        (f"{name}, {clients:,}", *_cells(run))
        for name, curve in curves.items()
        for clients, run in curve
    )
    return table(columns, rows, title)


def _cells(run: Answered) -> tuple[str, ...]:
    return (
        f"{run.good_rate:,.0f}",
        f"{run.p50_s * 1e3:.1f}",
        f"{run.p99_s * 1e3:.1f}",
        f"{_share_refused(run):.1%}",
        f"{run.broken:,}",
    )
