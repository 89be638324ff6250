"""`python -m infra.cluster_check`: starts a control plane, runs all checks, and stops it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.cache import NotMadeError
from infra.cluster_check import api_scaling, linting, overlays
from infra.cluster_check.binaries import Binaries, binaries
from infra.cluster_check.cluster import CheckError, Cluster
from infra.cluster_check.control_plane import control_plane
from infra.cluster_check.keda import differences, keda
from infra.cluster_check.metrics_api import MetricsApi, metrics_api
from infra.cluster_check.surge import FOLDED, SURGE_S, Sample, surge
from infra.cluster_check.verdict import Claim, claims
from infra.local.kafka.jars import NoKafkaError
from infra.local.process import NotReadyError

_WIDTH_OF_A_FILE: Final = 120
_BUDGETS: Final = {"small": ("api", "worker"), "production": ("api", "worker", "trainer")}
"""overlay -> programs whose pods may be evicted one at a time"""

_HEAD: Final = (
    *(" at s", "records/s", "lag of quotes", "interactions", "cooccurrences"),
    *("workers wanted", "ready", "p99 s", "oldest s"),
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)


@app.command()
def main(
    *,
    with_surge: Annotated[
        bool, typer.Option("--surge/--no-surge", help="run workers under a feed that grows tenfold")
    ] = True,
    with_keda: Annotated[
        bool, typer.Option("--keda", help="let KEDA scale the workers, not a stand-in for it")
    ] = False,
) -> None:
    """Apply every overlay to a real control plane, evict, and scale; exits with 1 if one fails."""
    folder = Path(tempfile.mkdtemp(prefix="cluster-check-"))
    with _errors_said(folder):
        found = binaries(with_keda=with_keda)
        with (
            control_plane(found, folder / "control-plane") as cluster,
            metrics_api(cluster, folder / "control-plane") as metrics,
        ):
            seen = [*_linted(cluster, found), *_applied(cluster, metrics, found)]
            if with_surge:
                seen += _surged(cluster, metrics, found, folder)
    console.print(_table(seen))
    if not all(claim.holds for claim in seen):
        console.print(f"logs: {folder}")
        raise typer.Exit(1)
    shutil.rmtree(folder)


def _linted(cluster: Cluster, found: Binaries) -> Iterator[Claim]:
    manifests = [cluster.rendered(overlays.OVERLAYS / name) for name in _BUDGETS]
    passed, odd = linting.lint(found.kube_score, manifests)
    seen = ", ".join(odd) or f"{passed} checks passed"
    yield _said(Claim("kube-score finds nothing but what is answered", seen, not odd))


def _applied(cluster: Cluster, metrics: MetricsApi, found: Binaries) -> Iterator[Claim]:
    n = overlays.define(cluster, found.definitions)
    yield _said(Claim("custom resources of KEDA and the operator are defined", f"{n}", n > 0))
    for overlay, programs in _BUDGETS.items():
        n = overlays.apply(cluster, overlay)
        yield _said(Claim(f"{overlay}: the server takes every object, strictly", f"{n}", n > 0))
        for program in programs:
            pods, answers = overlays.evict(cluster, program)
            seen = f"{pods} pods: {', '.join(map(str, answers))}"
            yield _said(
                Claim(f"{overlay}: the budget of {program} allows one", seen, _is_one(answers))
            )
        for millicores, pods, took_s in api_scaling.follow(cluster, metrics):
            seen = f"{pods} pods after {took_s:.0f} s"
            yield _said(Claim(f"{overlay}: API at {millicores}m of CPU a pod", seen, holds=True))
        cluster.delete_namespace(overlays.NAMESPACE)


def _surged(cluster: Cluster, metrics: MetricsApi, found: Binaries, folder: Path) -> list[Claim]:
    console.print(Text("a feed, ten times as much from second 0 on", "bold"))
    console.print(_row(*_HEAD), highlight=False)
    samples = []
    with ExitStack() as stack:
        if found.keda is not None:
            stack.enter_context(keda(found.keda, cluster, folder / "control-plane"))
        for sample in surge(cluster, metrics, folder, has_keda=found.keda is not None):
            console.print(_line(sample), highlight=False)
            samples.append(sample)
        seen = claims(samples, SURGE_S)
        if found.keda is not None:
            differing = differences(cluster)
            what = "KEDA makes the autoscaler as the check does"
            seen.append(Claim(what, ", ".join(differing) or "the same", not differing))
    return seen


def _is_one(answers: list[int]) -> bool:
    """Return whether the first eviction was allowed, and the second refused."""
    return answers == [201, 429]


def _said(claim: Claim) -> Claim:
    console.print(Text(f"{claim.what}: {claim.seen}"))
    return claim


def _line(sample: Sample) -> str:
    """Return a sample as a row below `_HEAD`."""
    fresh = "-" if sample.fresh_s is None else f"{sample.fresh_s:.1f}"
    lags = (sample.lag[topic.name] for topic in FOLDED)
    cells = (f"{sample.at_s:.0f}", f"{sample.records_per_s:,.0f}", *(f"{lag:,}" for lag in lags))
    counts = (str(sample.wanted), str(sample.ready), fresh, f"{sample.waits_s:.1f}")
    return _row(*cells, *counts)


def _row(*cells: str) -> str:
    return "  ".join(cell.rjust(len(name)) for cell, name in zip(cells, _HEAD, strict=True))


def _table(seen: list[Claim]) -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("", "what", "seen"):
        table.add_column(name)
    for claim in seen:
        mark = Text("well", "green") if claim.holds else Text("FAILS", "red")
        table.add_row(mark, claim.what, claim.seen)
    return table


@contextmanager
def _errors_said(folder: Path) -> Iterator[None]:
    """Exit with 1 and a plain message on expected errors."""
    try:
        yield
    except (CheckError, NotMadeError, NoKafkaError, NotReadyError) as error:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error ", "red"), str(error)))
        console.print(f"logs: {folder}")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
