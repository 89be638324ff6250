"""A worker observed during a failure: its reported state, and its counts."""

import contextlib
import re
import subprocess
from collections.abc import Iterator

import httpx
import msgspec
import psutil

from contracts.bars import BarValue
from contracts.messages import Interaction, Quote
from contracts.partitioning import instrument_partition
from infra.local.process import free_port
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S, eventually

BASE_MS = 1_700_000_040_000
INSTRUMENTS = 5

_bar = msgspec.json.Decoder(BarValue)


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
    total = 0
    for instrument in range(INSTRUMENTS):
        partition = instrument_partition(instrument, pipeline.topology.quotes)
        bars = pipeline.store.hgetall(pipeline.keyspace.bars(partition, instrument))
        bars.pop("newest", None)
        total += sum(_bar.decode(bar).n for bar in bars.values())
    return total


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

    def metrics(self) -> str:
        return httpx.get(f"{self._address}/metrics", timeout=PATIENCE_S).text

    def metric(self, name: str, topic: str) -> float:
        row = rf'^{name}{{topic="{topic}"}} (\S+)$'
        return float(re.search(row, self.metrics(), re.MULTILINE)[1])

    def runs(self) -> bool:
        return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def watched(pipeline: Pipeline, **settings: str | int) -> Iterator[Watched]:
    port = free_port()
    with pipeline.worker(metrics_port=port, **settings) as process:
        worker = Watched(process, port)
        eventually(lambda: _is_assigned(worker), "the worker has its partitions")
        yield worker
        assert worker.runs(), f"the worker ended by itself, see {pipeline.folder}"


def _is_assigned(worker: Watched) -> bool:
    try:
        states = [its["state"] for its in worker.partitions().values()]
        return len(states) == 8 and {"claiming", "resuming"}.isdisjoint(states)
    except httpx.TransportError:
        return False


def says(pipeline: Pipeline, words: str) -> bool:
    return words in (pipeline.folder / "worker.log").read_text()
