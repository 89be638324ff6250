"""The stages of a run: timed, shown, and cancellable between two blocks."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import Progress, TaskID

_LINE_EVERY_S: Final = 10
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


class _Lines(Progress):
    """Progress for a file: at most one line in ten seconds."""

    _due_s = 0.0

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Advance a task, and print where it is."""
        super().advance(task_id, advance)
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + _LINE_EVERY_S
            task = self._tasks[task_id]
            self.console.print(f"{task.description} {task.completed}/{task.total}")


@contextmanager
def shown(*, in_file: bool = False) -> Iterator[Progress]:
    """Show progress on standard error while the context lasts: on a terminal, or in a file, too."""
    console = Console(stderr=True)
    kind = _Lines if in_file and not console.is_terminal else Progress
    with kind(console=console, disable=not console.is_terminal) as progress:
        yield progress
