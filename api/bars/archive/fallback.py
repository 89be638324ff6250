"""Reads that fall back to the archive: which thread runs them, and how failures are handled."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final, TypeVar

import pyarrow as pa
from pyiceberg.catalog import Catalog

from api.bars.archive.files import Files
from api.bars.archive.reader import ArchiveReader
from api.bars.archive.reader_thread import ARCHIVE_UNAVAILABLE, DEADLINE_S, ReaderThreads
from api.http.problems import Problem
from api.redis.reading import Done, Handoff
from contracts.archive import BARS_TABLE
from runtime.archive.catalog import (
    ArchiveError,
    NotLetInError,
    is_passing,
    load,
    open_catalog,
)
from runtime.archive.config import ArchiveConfig

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class ArchivedBars:
    """The bars in the archive, for reads of bars that Redis cannot complete."""

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._threads = ReaderThreads()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Accept reads for the block; the catalog is opened ahead of the first request."""
        with self._threads.running():
            self._threads.start(self._reader.open, _log_unopened)
            yield

    def read(self, answer: Callable[[ArchiveReader], T]) -> Handoff:
        """Return the exception with which a read continues as `answer`, in the thread."""

        def start(done: Done[Any]) -> None:
            self._threads.start(lambda: _with_problems(lambda: answer(self._reader)), done)

        return Handoff(start)


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


def _log_unopened(_: None, error: Exception | None) -> None:
    if error is not None:
        message = "the archive cannot be read yet, each read tries again: %s: %s"
        _log.warning(message, type(error).__name__, error)


def archived_bars(config: ArchiveConfig) -> ArchivedBars:
    """Return the bars of the archive; nothing is opened until they are `running`."""

    @cache
    def catalog() -> Catalog:
        # One thread serves all reads: it must not wait for a silent catalog longer than a client
        # does.
        return open_catalog(config, answers_within_s=DEADLINE_S)

    files = Files(lambda: load(catalog(), config, BARS_TABLE), time.monotonic)
    return ArchivedBars(ArchiveReader(files))
