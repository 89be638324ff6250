"""A thread for reads of the archive, with a bounded queue in front of it.

The event loop never waits for a file, and requests that only need Redis never wait for requests
that read files. More threads would take processor time from requests that Redis alone can answer.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

from api.bars.older import ARCHIVE_UNAVAILABLE
from api.http.problems import OVERLOADED, Problem
from api.redis.reading import Done

T = TypeVar("T")

WAITING: Final = 16
"""At some 50 ms each, the last one starts after 0.8 s."""
DEADLINE_S: Final = 5.0
"""For an answer: two months of a large archive take some 2 s."""


class _Job(Generic[T]):
    """A piece of work, and its callback."""

    def __init__(self, work: Callable[[], T], done: Done[T]) -> None:
        self.work = work
        self.over = False
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(DEADLINE_S, self._expire)

    def run(self) -> None:
        """Do the work, in the thread; the result is delivered on the loop."""
        try:
            outcome: tuple[T | None, Exception | None] = (self.work(), None)
        except Exception as error:  # noqa: BLE001 (it is passed to the callback)
            outcome = (None, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is waiting any more
            self._loop.call_soon_threadsafe(self.end, *outcome)

    def end(self, found: T | None, error: Exception | None) -> None:
        """Call the callback, unless that was done already."""
        if not self.over:
            self.over = True
            self._timer.cancel()
            self._done(found, error)

    def _expire(self) -> None:
        late = f"no answer in {DEADLINE_S:g} s: ask for fewer buckets, or later"
        self.end(None, Problem(ARCHIVE_UNAVAILABLE, late))


class ReaderThread:
    """Accepts work while `running`."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[_Job[Any] | None] = queue.Queue(WAITING)

    @contextmanager
    def running(self) -> Iterator["ReaderThread"]:
        """Run the thread for the block; if it hangs, that does not delay the end."""
        threading.Thread(target=self._work, name="archive", daemon=True).start()
        yield self
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()
        self._jobs.put_nowait(None)

    def start(self, work: Callable[[], T], done: Done[T]) -> None:
        """Do `work` in the thread.

        `done` is called once, on the loop, within `DEADLINE_S`, with what `work` returns or raises,
        or with a Problem.
        """
        job = _Job(work, done)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            detail = f"{WAITING} reads of the archive are queued already: try again in a second"
            job.end(None, Problem(OVERLOADED, detail))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.over:
                job.run()
