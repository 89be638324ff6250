"""`python -m infra.cluster_check`: starts a control plane, runs all checks, and stops it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from infra.cluster_check import overlays, scaling
from infra.cluster_check.binaries import Binaries, NotMadeError, binaries
from infra.cluster_check.cluster import CheckError, Cluster
from infra.cluster_check.control_plane import control_plane
from infra.cluster_check.keda import keda
from infra.cluster_check.metrics_api import MetricsApi, metrics_api
from infra.local.kafka.jars import NoKafkaError
from infra.local.process import NotReadyError

_WIDTH_OF_A_FILE: Final = 120
_BUDGETS: Final = {
    "small": ("api", "worker"),
    "production": ("api", "worker", "trainer"),
    "adapt": ("adapt",),
}
"""overlay -> programs whose pods may be evicted one at a time"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)


@app.command()
def main(
    *,
    with_keda: Annotated[
        bool, typer.Option("--keda", help="also let KEDA scale the workers by the lag of a Kafka")
    ] = False,
) -> None:
    """Apply every overlay to a real control plane, evict, and scale; exits with 1 if one fails."""
    folder = Path(tempfile.mkdtemp(prefix="cluster-check-"))
    with _errors_printed(folder):
        found = binaries(with_keda=with_keda)
        # The metrics stay to the end: without them, no namespace can be deleted any more.
        with control_plane(found, folder) as cluster, metrics_api(cluster, folder) as metrics:
            for what, seen in _seen(cluster, metrics, found, folder):
                console.print(Text.assemble(("✓ ", "green"), f"{what}: {seen}"))
    shutil.rmtree(folder)


def _seen(
    cluster: Cluster, metrics: MetricsApi, found: Binaries, folder: Path
) -> Iterator[tuple[str, str]]:
    """Run the checks; yield what each was about, and what it saw.

    Raises:
        CheckError: one failed.
    """
    n = overlays.define(cluster, found.definitions)
    yield "custom resources of KEDA and the operator are defined", f"{n}"
    for overlay, programs in _BUDGETS.items():
        passed = overlays.lint(found.kube_score, cluster.rendered(overlays.OVERLAYS / overlay))
        yield f"{overlay}: kube-score finds nothing but what is answered", f"{passed} checks"
        objects = overlays.apply(cluster, overlay)
        yield f"{overlay}: the server takes every object, strictly", f"{objects}"
        for program in programs:
            pods = overlays.evict(cluster, program)
            yield f"{overlay}: the budget of {program} allows one eviction", f"of {pods} pods"
        if overlay == "small":  # in production, KEDA makes the autoscaler
            for millicores, pods, took_s in scaling.follow_cpu(cluster, metrics):
                yield f"API at {millicores}m of CPU a pod", f"{pods} pods after {took_s:.0f} s"
        cluster.delete_namespace(overlays.NAMESPACE)
    if found.keda is not None:
        with keda(found.keda, cluster, folder):
            yield from scaling.follow_lag(cluster, folder)


@contextmanager
def _errors_printed(folder: Path) -> Iterator[None]:
    """Exit with 1 and a plain message on expected errors."""
    try:
        yield
    except (CheckError, NotMadeError, NoKafkaError, NotReadyError) as error:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error ", "red"), str(error)))
        console.print(f"logs: {folder}")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
