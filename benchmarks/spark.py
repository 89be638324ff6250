"""Counts of an archive, made by Spark: `python -m benchmarks spark`, as `make spark` sets it up.

Hypothesis: the time is a line over the number of interactions, and the memory of an executor stays
what it is: its heap is capped, and its Python workers hold a batch each.

Work: archives of 5, 15 and 50 million simulated interactions on 200,000 items, one of which half of
the users have, by users of whom some have as many items as a history may (`benchmarks.spark_data`).
From each, G of all users and the histories of the latest active ones, as `once --engine spark` has
them before the models, which are the trainer's own.

Baseline: none; the points against each other.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer

from benchmarks.harness import session
from benchmarks.harness.memory import peak_bytes
from benchmarks.harness.report import Report, computer, table
from benchmarks.spark_data import archive
from runtime.archive.config import ArchiveConfig
from runtime.settings import FoldingSettings
from trainer.stages import Stages, shown

USERS: Final = 200_000
"""Whose histories come to the driver: `COUNTS_USERS`."""
_SEED: Final = 1
_LOOK_EVERY_S: Final = 0.5
_MIB: Final = 1 << 20
_MILLION: Final = 1_000_000


def spark(
    interactions: Annotated[
        list[int] | None, typer.Option(min=1_000, help="of an archive; repeatable: 5, 15, 50 M")
    ] = None,
    items: Annotated[int, typer.Option(min=1_000)] = 200_000,
    master: Annotated[str, typer.Option(help="of Spark; memory is seen where it is local")] = (
        "local[2]"
    ),
    *,
    json: session.Json = False,
) -> None:
    """Time, memory and shuffled bytes of counting an archive, by its number of interactions."""
    points = interactions or [5 * _MILLION, 15 * _MILLION, 50 * _MILLION]
    with session.folder() as path:
        figures = []
        for n in points:
            with tempfile.TemporaryDirectory(dir=path) as files:
                figures.append(_point(Path(files), n, items, master))
        session.present(_report(figures), json=json)


def _point(path: Path, n: int, items: int, master: str) -> dict[str, Any]:
    session.progress.print(f"writing {n:,} interactions", style="dim")
    config = ArchiveConfig(warehouse=str(path))
    archive(config, n, items, _SEED)
    return counted(config, master)


def counted(config: ArchiveConfig, master: str) -> dict[str, Any]:
    """Count an archive by Spark; return what came out, and what it took."""
    from trainer.spark.session import session as spark_session
    from trainer.spark.snapshot import read_snapshot
    from trainer.spark.source import Archived

    snapshot = read_snapshot(config, None)
    session.progress.print(f"counting {snapshot.rows:,} interactions", style="dim")
    with shown() as progress, spark_session(master, threading.Event()) as started:
        stages, began = Stages(lambda: None, progress), time.perf_counter()
        with _watched() as peaks:
            found = Archived(lambda: nullcontext(started), snapshot, FoldingSettings())
            gram, user_items = found.read(USERS, stages)
        executors = started.sparkContext._jsc.sc().statusStore().executorList(False)  # noqa: FBT003, SLF001 (Scala's; available nowhere else)
        shuffled = sum(executors.apply(k).totalShuffleWrite() for k in range(executors.size()))
        return {
            "name": "spark",
            "interactions": snapshot.rows,
            "items": len(gram.items),
            "pairs": (gram.counts.nnz - len(gram.items)) // 2,
            "users_here": len(user_items.users),
            "seconds": round(time.perf_counter() - began, 1),
            "stages": {stage: round(s, 1) for stage, s in stages.seconds.items()},
            "shuffled_mib": shuffled // _MIB,
            **{f"{what}_mib": peak // _MIB for what, peak in peaks.items()},
            "driver_mib": peak_bytes() // _MIB,
            "load": os.getloadavg()[0],
        }


@contextmanager
def _watched() -> Iterator[dict[str, int]]:
    """Give the most memory of the JVM and of a Python worker, complete when the block ends."""
    peaks, ended = {"jvm": 0, "python_worker": 0}, threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            for child in psutil.Process().children(recursive=True):
                try:
                    what = "jvm" if "java" in child.name() else "python_worker"
                    peaks[what] = max(peaks[what], peak_bytes(child.pid))
                except (psutil.NoSuchProcess, FileNotFoundError):
                    continue

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield peaks
    finally:
        ended.set()
        watch.join()


def _report(figures: list[dict[str, Any]]) -> Report:
    columns = (
        "interactions", "pairs", "s", "s a\nmillion", "shuffled,\nMiB", "JVM,\nMiB",
        "a worker,\nMiB", "driver,\nMiB",
    )  # fmt: skip
    names = ("shuffled_mib", "jvm_mib", "python_worker_mib", "driver_mib")
    rows = [
        (
            f"{one['interactions']:,}",
            f"{one['pairs']:,}",
            f"{one['seconds']:,.0f}",
            f"{one['seconds'] / one['interactions'] * _MILLION:.1f}",
            *(f"{one[name]:,}" for name in names),
        )
        for one in figures
    ]
    return Report(figures, [table(columns, rows, "Counts of an archive by Spark"), computer()])
