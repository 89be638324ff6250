"""`ITEM_MODEL=auto` at size: `python -m benchmarks auto`.

Hypothesis: for 50,000 items and 10 million pairs of them, the trainer tries some 30 candidates on
what users did last in a few minutes and under 3 GB, and concurrent readers do not notice.

Work: the data of `train`, counts and histories in a store. The trainer runs once with `cosine`, so
that there is something to read, and then twice with its defaults: the first run searches for what
predicts best, the second one remembers it. During both, a client asks the API for similar items at
a steady rate.

Baseline: the same client, while nothing is trained.
"""

import http.client
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.latencies import Latencies
from benchmarks.harness.report import Report, conditions, ends, table
from benchmarks.harness.rounds import Spread
from benchmarks.harness.serving import answering
from benchmarks.harness.stage import python
from benchmarks.train_data import Items, Pairs, make
from benchmarks.train_stage import TrainingStage, set_up
from infra.local.process import LOOPBACK, Command, Server, free_port, running

ASKED_A_SECOND: Final = 200
ALONE_FOR_S: Final = 10
_TIMEOUT_S: Final = 30
_SEED: Final = 1
T = TypeVar("T")


def auto(
    items: Items = 50_000,
    pairs: Pairs = 10_000_000,
    *,
    json: session.Json = False,
) -> None:
    """What `auto` takes, in time and memory, and what a reader notices of it."""
    with session.folder() as path:
        session.present(measure(items, pairs, path), json=json)


def measure(items: int, pairs: int, path: Path) -> Report:
    """Let the trainer look for what is best, and remember it, while somebody reads.

    Raises:
        ContenderError: the trainer or the reader failed.
        NotReadyError: a server did not come up.
    """
    with set_up(make(items, pairs, _SEED), path) as stage:
        session.progress.print("training: cosine", style="dim")
        stage.train({"ITEM_MODEL": "cosine", "USER_MODEL": "none"})
        port = free_port()
        with running(_api(stage, port)) as api:
            reader, busy = Reader(port, items), list[float]()
            _, alone = reader.during(lambda: time.sleep(ALONE_FOR_S))
            runs, looked_at = list[dict[str, Any]](), ""
            for name in ("auto, looking", "auto, remembering"):
                session.progress.print(f"training: {name}", style="dim")
                took, latencies = reader.during(lambda: stage.train({}, api.pid))
                served, made = stage.current()
                chosen = made.selection
                # A remembered choice has the time of the run that searched for it.
                tried = len(chosen.found.tried) if chosen and chosen.at != looked_at else 0
                looked_at = chosen.at if chosen else ""
                runs.append(
                    {
                        "name": name,
                        "seconds": took.seconds,
                        "peak_mb": took.peak_bytes / 1e6,
                        "candidates": tried,
                        "model": served.model,
                        "ndcg": made.held_out.ndcg if made.held_out else float("nan"),
                        **_ms(latencies),
                    }
                )
                busy.append(took.busy_other_cores)
    return report(str(stage.data), _ms(alone), runs, Spread.of(busy), stage.store.product)


def _api(stage: TrainingStage, port: int) -> Server:
    """Return the API without a broker: it is alive but never ready."""
    environment = {
        **stage.environment,
        "API_HOST": LOOPBACK,
        "API_PORT": str(port),
        "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:9",  # where nothing listens
    }
    command = Command("api", python("api"), stage.log("api"), environment)
    return answering(command, port, "/health/live")


class Reader:
    """Asks for similar items at a steady rate, on one connection."""

    def __init__(self, port: int, items: int) -> None:
        self._port, self._items = port, items

    def during(self, work: Callable[[], T]) -> tuple[T, Latencies]:
        """Return what the work returns, and how long answers took during it.

        Requests are due on schedule, whenever the one before was answered.

        Raises:
            ContenderError: a request was not answered, or not with a list.
        """
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(self._ask, over)
            try:
                done = work()
            finally:
                over.set()
            return done, Latencies.of(asking.result())

    def _ask(self, over: threading.Event) -> list[float]:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_TIMEOUT_S)
        latencies_s, begun = list[float](), time.perf_counter()
        for number in itertools.count():
            due = begun + number / ASKED_A_SECOND
            if over.wait(max(0.0, due - time.perf_counter())):
                break
            path = f"/v1/instruments/{number * 7919 % self._items}/similar"
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise ContenderError(f"the API did not answer GET {path}: {error!r}") from error
            if answer.status != http.client.OK:
                raise ContenderError(
                    f"the API answered GET {path} with {answer.status}: {said[:200]!r}"
                )
            latencies_s.append(time.perf_counter() - due)
        connection.close()
        return latencies_s


def report(
    work: str,
    alone: Mapping[str, float],
    runs: Sequence[Mapping[str, Any]],
    others: Spread,
    store: str,
) -> Report:
    """Report the runs: one line of JSON, or a row for each."""
    figures = {
        "name": "auto",
        "work": work,
        **{f"alone_{name}": ms for name, ms in alone.items()},
        "runs": runs,
        "busy_other_cores": ends(others, 2),
        "store": store,
    }
    columns = ("run", "seconds", "peak MB", "candidates", "model", "nDCG@10", "p50", "p99")
    rows = [("(none)", *[""] * 5, *_cells(alone))]
    rows += [
        (
            run["name"],
            f"{run['seconds']:.1f}",
            f"{run['peak_mb']:,.0f}",
            str(run["candidates"] or "-"),
            run["model"],
            f"{run['ndcg']:.4f}",
            *_cells(run),
        )
        for run in runs
    ]
    return Report([figures], [table(columns, rows, work), conditions("no broker", store, others)])


def _ms(latencies: Latencies) -> dict[str, float]:
    return {"p50_ms": latencies.p50_s * 1_000, "p99_ms": latencies.p99_s * 1_000}


def _cells(ms: Mapping[str, Any]) -> tuple[str, str]:
    return f"{ms['p50_ms']:.1f} ms", f"{ms['p99_ms']:.1f} ms"
