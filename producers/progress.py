"""Reports a feed's progress: a bar on a terminal, otherwise an occasional log line."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

LOG_EVERY_S: Final = 10.0

log = structlog.get_logger(__name__)

Show = Callable[[int, float | None], None]
"""Takes the records delivered so far, and the completed share of the work, if known."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a feed."""

    delivered: int
    failed: int
    rejected: int
    """skipped rows of the file"""
    seconds: float
    reasons: dict[str, int]
    """errors by kind, including those that were recovered from; of rows, by rule"""
    older: int = 0
    """quotes older than what is retained before the newest"""

    @property
    def records_per_s(self) -> int:
        """Records delivered per second over the whole run, including start and flush."""
        return round(self.delivered / self.seconds) if self.seconds else 0

    def __str__(self) -> str:
        older = (
            f"; {self.older:,} of the quotes are older than BARS_RETENTION_MINUTES before the "
            "newest: Redis keeps bars that old only of instruments without newer quotes"
        )
        return (
            f"{self.delivered:,} delivered, {self.failed:,} failed, {self.rejected:,} rows left "
            f"out in {self.seconds:.1f} s: {self.records_per_s:,} records/s"
            + "".join(f"; {reason} x {count:,}" for reason, count in self.reasons.items())
            + older * bool(self.older)
        )


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Show the progress on standard error for as long as the context lasts."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _log_lines(title, time.monotonic)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[delivered]:,} records"),
        TimeElapsedColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task(title, total=None, delivered=0)

        def show(delivered: int, share: float | None) -> None:
            bar.update(
                task,
                total=None if share is None else 1.0,
                completed=share or 0.0,
                delivered=delivered,
            )

        yield show


def _log_lines(title: str, clock: Callable[[], float]) -> Show:
    last_s, last_count = clock(), 0

    def show(delivered: int, share: float | None) -> None:
        nonlocal last_s, last_count
        elapsed = clock() - last_s
        if elapsed >= LOG_EVERY_S:
            rate = round((delivered - last_count) / elapsed)
            done = None if share is None else round(share, 3)
            log.info(title, delivered=delivered, records_per_s=rate, share_done=done)
            last_s, last_count = clock(), delivered

    return show


def report(summary: Summary) -> None:
    """Report the result of a feed: a sentence on a terminal, otherwise a log line."""
    if sys.stderr.isatty():
        Console(stderr=True).print(str(summary), highlight=False)
    else:
        said = {**asdict(summary), "seconds": round(summary.seconds, 3)}
        log.info("done", **said, records_per_s=summary.records_per_s)
