"""Reads bars of one instrument from the archive, in a thread with a bounded queue in front of it.

The event loop never waits for a file, and requests that only need Redis never wait for requests
that read files. More threads would take processor time from requests that Redis alone can answer.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any, Final, Generic, TypeVar

import pyarrow as pa
from pyiceberg.catalog import Catalog

from api.bars.archive.files import Files, Listing
from api.bars.archive.rows import MinuteColumns, Rows, joined, newest_revisions, partial_bars
from api.bars.pages import Sort
from api.bars.seam import ARCHIVE_UNAVAILABLE, Older, Range
from api.http.problems import OVERLOADED, Problem
from api.redis.reading import Done, Handoff
from contracts.archive import BARS_TABLE
from contracts.bars import Minute
from contracts.times import DAY_MS, MINUTE_MS
from runtime.archive.catalog import ArchiveError, NotLetInError, is_passing, load, open_catalog
from runtime.archive.config import ArchiveConfig

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


_log: Final = logging.getLogger(__name__)


class ArchivedBars:
    """The bars in the archive, as `api.bars.seam.OlderBars`."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._rows = Rows()
        self._thread = ReaderThread()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Accept reads for the block; the files are listed ahead of the first request."""
        with self._thread.running():
            self._thread.start(self._files.listing, _log_unopened)
            yield

    def off_loop(self, answer: Callable[[], Any]) -> Handoff:
        """Return the exception with which a read continues as `answer`, in the thread."""
        return Handoff(lambda done: self._thread.start(lambda: _with_problems(answer), done))

    def read(self, asked: Range, sort: Sort, buckets: int, days: int) -> Older:
        """Return the first or the last buckets of a range, as `api.bars.seam.ReadOlder`.

        Raises:
            Exception: as `Files.listing` and `Rows.of`.
        """
        try:
            return self._read(asked, sort, buckets, days, self._files.listing())
        except FileNotFoundError:  # a file was replaced since the listing was made
            return self._read(asked, sort, buckets, days, self._files.listing(refresh=True))

    def _read(self, asked: Range, sort: Sort, buckets: int, most: int, listing: Listing) -> Older:
        first_ms, end_ms, interval = asked.first_ms, asked.end_ms, asked.interval
        days = listing.days(asked.instrument_id, first_ms // DAY_MS, -(-end_ms // DAY_MS))
        is_asc = sort == "asc"
        rest_ms: int | None = None
        if len(days) > most and is_asc:
            rest_ms = end_ms = interval.start_of(days[most] * DAY_MS)
        elif len(days) > most:
            rest_ms = first_ms = interval.first_from(days[-most] * DAY_MS)
        parts: list[list[tuple[int, Minute]]] = []
        starts: set[int] = set()
        for day in days[:most] if is_asc else days[: -most - 1 : -1]:
            found = partial_bars(self._minutes(asked, listing, day), interval)
            parts.append(found)
            starts.update(start for start, _ in found if first_ms <= start < end_ms)
            if len(starts) > buckets:  # the last one to be read may go on in the next day
                ordered = sorted(starts)
                if is_asc:
                    rest_ms = end_ms = ordered[buckets]
                else:
                    rest_ms = first_ms = ordered[-buckets]
                break
        if not is_asc:
            parts.reverse()
        minutes = [one for part in parts for one in part if first_ms <= one[0] < end_ms]
        vouched_ms = 0 if listing.newest_ms is None else listing.newest_ms + MINUTE_MS
        return Older(minutes, rest_ms, vouched_ms, len(parts))

    def _minutes(self, asked: Range, listing: Listing, day: int) -> MinuteColumns:
        first_ms = max(asked.first_ms, day * DAY_MS)
        end_ms = min(asked.end_ms, (day + 1) * DAY_MS)
        found = [
            self._rows.of(listing.io, one.path, asked.instrument_id)
            for one in listing.of(asked.instrument_id, day, first_ms, end_ms)
        ]
        return newest_revisions(joined(found), first_ms, end_ms)


def archived_bars(config: ArchiveConfig) -> ArchivedBars:
    """Return the bars of the archive; nothing is opened until they are `running`."""

    @cache
    def catalog() -> Catalog:
        # One thread serves all reads: it must not wait for a silent catalog longer than a client
        # does.
        return open_catalog(config, answers_within_s=DEADLINE_S)

    return ArchivedBars(Files(lambda: load(catalog(), config, BARS_TABLE), time.monotonic))


def _with_problems(work: Callable[[], T]) -> T:
    """Return what `work` returns.

    Raises:
        Problem: the archive cannot be read.
    """
    try:
        return work()
    except NotLetInError as error:
        raise _for_the_log(error) from error
    except ArchiveError as error:
        raise Problem(ARCHIVE_UNAVAILABLE, str(error)) from error
    except Exception as error:
        if not (is_passing(error) or isinstance(error, pa.ArrowException)):
            raise
        raise _for_the_log(error) from error


def _for_the_log(error: Exception) -> Problem:
    """Log the details, which no client should see, and return the problem that says so."""
    _log.warning("the archive cannot be read: %s: %s", type(error).__name__, error)
    return Problem(ARCHIVE_UNAVAILABLE, f"{type(error).__name__}; see the server's log")


def _log_unopened(_: object, error: Exception | None) -> None:
    if error is not None:
        message = "the archive cannot be read yet, each read tries again: %s: %s"
        _log.warning(message, type(error).__name__, error)
