"""Several workers of ours that share the partitions."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

import httpx

from benchmarks.harness.contender import Process, awaited, started
from benchmarks.harness.namespace import Namespace
from benchmarks.harness.stage import WORKER, Stage, python
from contracts.topics import QUOTES, STREAMED
from infra.local.metrics import Samples, scrape
from infra.local.process import LOOPBACK, free_port, stop
from runtime.topology import Topology

_ASSIGNED: Final = "partitions_assigned"


@contextlib.contextmanager
def running_workers(
    stage: Stage,
    namespace: Namespace,
    n: int,
) -> Iterator[list[Process]]:
    """Run so many workers for the block."""
    workers: list[Process] = []
    try:
        for name in (f"worker-{number}" for number in range(1, n + 1)):
            its = {"METRICS_PORT": str(free_port())}
            workers.append(started(stage.command(name, python(WORKER), namespace, its)))
        yield workers
    finally:
        stop(*workers)


def await_shared(workers: Sequence[Process], topology: Topology) -> None:
    """Return once every partition is claimed, and every worker has some.

    Raises:
        ContenderError: a worker ended, or the group took too long.
    """
    ports = [worker.command.environment["METRICS_PORT"] for worker in workers]
    urls = [f"http://{LOOPBACK}:{port}" for port in ports]
    with httpx.Client(timeout=1) as client:
        awaited(
            lambda: shared(scrape(urls, client), topology, len(urls)) or None,
            "sharing the partitions",
            *workers,
        )


def shared(workers: Sequence[Samples], topology: Topology, n: int) -> bool:
    """Return whether each of n workers has partitions of quotes, and each partition a worker."""
    return (
        len(workers) == n
        and all(samples.get((_ASSIGNED, QUOTES.name), 0) for samples in workers)
        and all(
            sum(samples.get((_ASSIGNED, topic.name), 0) for samples in workers)
            == getattr(topology, topic.name)
            for topic in STREAMED
        )
    )
