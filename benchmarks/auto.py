"""`ITEM_MODEL=auto` at size: `python -m benchmarks auto`.

Hypothesis: for 50,000 items and 10 million pairs of them, the trainer tries some 30 candidates on
what users did last in a few minutes and under 3 GB, and whoever reads meanwhile does not notice.

Work: the data of `train`, counts and histories in a store. The trainer runs once with `cosine`, so
that there is something to read, and then twice as it comes: the first time it looks for what
foresees best, the second time it remembers. A client asks the API for similar items at a steady
rate, alone and meanwhile.
"""

import http.client
import itertools
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.request import urlopen

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness.report import line
from benchmarks.harness.session import Json, folder, present, progress
from benchmarks.train import NAMESPACE, Scene, set_up
from benchmarks.train_data import make
from contracts.keyspace import Current, Keyspace
from infra.local.paths import PROJECT
from infra.local.process import LOOPBACK, Command, Server, free_port, running
from trainer.generations.report import Report

ASKED_A_SECOND: Final = 200
ALONE_FOR_S: Final = 10
_SEED: Final = 1
T = TypeVar("T")


class Trained(msgspec.Struct, frozen=True):
    """A run of the trainer, and what a reader saw meanwhile."""

    name: str
    seconds: float
    peak_mb: float
    candidates: int
    model: str
    ndcg: float
    p50_ms: float
    p99_ms: float


class Result(msgspec.Struct, frozen=True):
    """All of it."""

    work: str
    alone_p50_ms: float
    alone_p99_ms: float
    runs: list[Trained]

    def lines(self) -> str:
        """Return it as a line of JSON."""
        return line(name="auto", **msgspec.to_builtins(self))

    def show(self, console: Console) -> None:
        """Print a row a run."""
        table = Table(box=None, header_style="bold", pad_edge=False, title=self.work)
        for title in ("run", "seconds", "peak MB", "candidates", "model", "nDCG@10", "p50", "p99"):
            table.add_column(title, justify="left" if title in ("run", "model") else "right")
        alone = (f"{self.alone_p50_ms:.1f} ms", f"{self.alone_p99_ms:.1f} ms")
        table.add_row("(none)", "", "", "", "", "", *alone)
        for run in self.runs:
            table.add_row(
                run.name,
                f"{run.seconds:.1f}",
                f"{run.peak_mb:,.0f}",
                str(run.candidates),
                run.model,
                f"{run.ndcg:.4f}",
                f"{run.p50_ms:.1f} ms",
                f"{run.p99_ms:.1f} ms",
            )
        console.print(table)


def auto(
    items: Annotated[int, typer.Option(min=1_000)] = 50_000,
    pairs: Annotated[int, typer.Option(min=100_000, help="of items that someone has both")] = (
        10_000_000
    ),
    *,
    json: Json = False,
) -> None:
    """What `auto` takes, in time and memory, and what a reader notices of it."""
    with folder() as path:
        present(measure(items, pairs, path), json=json)


def measure(items: int, pairs: int, path: Path) -> Result:
    """Let the trainer look for what is best, and remember it, while somebody reads.

    Raises:
        ContenderError: the trainer failed.
        NotReadyError: a server did not come up.
    """
    data = make(items, pairs, _SEED)
    with set_up(data, path) as scene:
        _train(scene, "cosine", {"ITEM_MODEL": "cosine", "USER_MODEL": "none"}, None)
        api = _api(scene)
        with running(api):
            reader = _Reader(int(api.address.rsplit(":", 1)[1]), items)
            _, alone = reader.meanwhile(lambda: time.sleep(ALONE_FOR_S))
            runs = [
                _train(scene, name, {}, reader) for name in ("auto, looking", "auto, remembering")
            ]
    return Result(str(data), float(np.median(alone)), _p99(alone), runs)


def _train(scene: Scene, name: str, settings: dict[str, str], reader: "_Reader | None") -> Trained:
    progress.print(f"training: {name}", style="dim")
    argv = (sys.executable, "-m", "trainer", "once")
    environment = {"REDIS_URL": scene.store.address, "NAMESPACE": NAMESPACE, **settings}

    def train() -> tuple[int, float, float]:
        return scene.run(name, argv, environment)

    (peak, seconds, _), latencies = reader.meanwhile(train) if reader else (train(), [0.0])
    keys = Keyspace(NAMESPACE)
    current = msgspec.json.decode(str(scene.client.get(keys.model_current())), type=Current)
    (served,) = current.variants.values()
    stored = scene.client.get(keys.model_report(served.generation))
    report = msgspec.json.decode(str(stored), type=Report)
    return Trained(
        name,
        seconds,
        peak / 1e6,
        len(report.selection.found.tried) if report.selection else 0,
        served.model,
        report.held_out.ndcg if report.held_out else float("nan"),
        float(np.median(latencies)),
        _p99(latencies),
    )


def _api(scene: Scene) -> Server:
    port = free_port()
    environment = {
        "PYTHONPATH": str(PROJECT),
        "REDIS_URL": scene.store.address,
        "NAMESPACE": NAMESPACE,
        "API_PORT": str(port),
        "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:9",
    }
    command = Command("api", (sys.executable, "-m", "api"), scene.folder / "api.log", environment)

    def answers() -> bool:
        try:
            with urlopen(f"http://{LOOPBACK}:{port}/health/live", timeout=1) as answer:
                return int(answer.status) == 200
        except OSError:
            return False

    return Server(command, f"{LOOPBACK}:{port}", "tickrec", answers)


class _Reader:
    """Asks for similar items at a steady rate, on one connection."""

    def __init__(self, port: int, items: int) -> None:
        self._port, self._items = port, items

    def meanwhile(self, work: Callable[[], T]) -> tuple[T, list[float]]:
        """Return what the work returns, and how long each answer took meanwhile, in ms.

        A question is due at its time, whenever the one before was answered.
        """
        over, latencies = threading.Event(), list[float]()
        asking = threading.Thread(target=self._ask, args=(over, latencies))
        asking.start()
        try:
            return work(), latencies
        finally:
            over.set()
            asking.join()

    def _ask(self, over: threading.Event, latencies: list[float]) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=30)
        begun = time.perf_counter()
        for number in itertools.count():
            due = begun + number / ASKED_A_SECOND
            if over.wait(max(0.0, due - time.perf_counter())):
                return
            connection.request("GET", f"/v1/instruments/{number * 7919 % self._items}/similar")
            connection.getresponse().read()
            latencies.append((time.perf_counter() - due) * 1_000)


def _p99(latencies: list[Any]) -> float:
    return float(np.quantile(latencies, 0.99))
