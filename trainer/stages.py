"""The stages of a run: timed, shown on a terminal, and cancellable between two blocks."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")


class StoppedError(RuntimeError):
    """A stop was requested in the middle of a run."""


class Stages:
    """The stages of one run."""

    def __init__(self, check: Callable[[], None], progress: Progress) -> None:
        """Call `check` between blocks; what it raises ends the run."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._check = check
        self._progress = progress

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that the context takes to the stage's seconds."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started

    def each(self, blocks: Sequence[T], title: str) -> Iterator[T]:
        """Yield the blocks, checking before each of them and showing how many are done."""
        task = self._progress.add_task(title, total=len(blocks))
        for block in blocks:
            self._check()
            yield block
            self._progress.advance(task)


@contextmanager
def shown() -> Iterator[Progress]:
    """Show progress on standard error while the context lasts, if that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
