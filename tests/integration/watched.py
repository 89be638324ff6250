"""A worker observed during a failure: its reported state, and its counts."""

import contextlib
import math
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict

import httpx
import psutil

from contracts.messages import Interaction, Quote
from infra.local.process import free_port
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S, eventually

BASE_MS = 1_700_000_040_000
INSTRUMENTS = 5


def quotes(n: int, first: int = 0) -> list[Quote]:
    return [
        Quote(instrument_id=k % INSTRUMENTS, price=1 + k, size=1, ts=BASE_MS + k)
        for k in range(first, first + n)
    ]


def events(n: int, first: int = 0) -> list[Interaction]:
    return [
        Interaction(user_id=f"u{k % 7}", instrument_id=k, ts=BASE_MS + k)
        for k in range(first, first + n)
    ]


def counted(pipeline: Pipeline) -> int:
    """The quotes in all bars."""
    return sum(bar.n for i in range(INSTRUMENTS) for bar in pipeline.bars(i).values())


def diagonal(pipeline: Pipeline) -> float:
    return sum(count for (i, j), count in pipeline.gram().items() if i == j)


class Watched:
    """A worker, and its reported state."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = psutil.Process(process.pid)
        self._address = f"http://127.0.0.1:{port}"

    def ready(self) -> dict[str, str]:
        return httpx.get(f"{self._address}/health/ready", timeout=PATIENCE_S).json()

    def partitions(self) -> dict[str, dict[str, str | int]]:
        return httpx.get(f"{self._address}/health", timeout=PATIENCE_S).json()["partitions"]

    def metric(self, name: str, topic: str = r"\w+") -> float:
        """Return the sum over the partitions of a topic, or of all; NaN if it is not there."""
        said = httpx.get(f"{self._address}/metrics", timeout=PATIENCE_S).text
        rows = re.findall(rf'^{name}{{[^}}]*topic="{topic}"[^}}]*}} (\S+)$', said, re.MULTILINE)
        return sum(map(float, rows)) if rows else math.nan

    def runs(self) -> bool:
        return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def watched(pipeline: Pipeline, **settings: str | int) -> Iterator[Watched]:
    port = free_port()
    with pipeline.worker(metrics_port=port, **settings) as process:
        worker = Watched(process, port)
        eventually(lambda: _is_assigned(worker, pipeline), "the worker has its partitions")
        yield worker
        assert worker.runs(), f"the worker ended by itself, see {pipeline.folder}"


def partitions_of(pipeline: Pipeline) -> int:
    """Return how many partitions all topics of the workers have."""
    return sum(asdict(pipeline.topology).values())


def _is_assigned(worker: Watched, pipeline: Pipeline) -> bool:
    try:
        states = [its["state"] for its in worker.partitions().values()]
        is_claimed = {"claiming", "resuming"}.isdisjoint(states)
        return len(states) == partitions_of(pipeline) and is_claimed
    except httpx.TransportError:
        return False
