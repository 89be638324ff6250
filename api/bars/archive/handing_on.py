"""Reads that go on in the archive: which thread, and what becomes of failures."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final, TypeVar

import pyarrow as pa
from pyiceberg.catalog import Catalog

from api.bars.archive.desk import ARCHIVE_UNAVAILABLE, DEADLINE_S, Desk
from api.bars.archive.files import Files
from api.bars.archive.reader import ArchiveReader
from api.http.problems import Problem
from api.redis.reading import Done, HandedOn
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
    """The bars in the archive, as reads of bars go on with them."""

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._desk = Desk()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read for the block; that the catalog is open, the first one who asks need not wait."""
        with self._desk.running():
            self._desk.start(self._reader.open, _tell_unopened)
            yield

    def read(self, answer: Callable[[ArchiveReader], T]) -> HandedOn:
        """Return what ends a read with what `answer` makes of the archive, in the thread."""

        def start(done: Done[Any]) -> None:
            self._desk.start(lambda: _told(lambda: answer(self._reader)), done)

        return HandedOn(start)


def _told(work: Callable[[], T]) -> T:
    """Return what work returns.

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
    """Log what no user should read, and return the problem that says so."""
    _log.warning("the archive cannot be read: %s: %s", type(error).__name__, error)
    return Problem(ARCHIVE_UNAVAILABLE, f"{type(error).__name__}; it stands in the server's log")


def _tell_unopened(_: None, error: Exception | None) -> None:
    if error is not None:
        told = "the archive cannot be read yet, each read tries again: %s: %s"
        _log.warning(told, type(error).__name__, error)


def archived_bars(config: ArchiveConfig) -> ArchivedBars:
    """Return the bars of the archive; nothing is opened before they are `running`."""

    @cache
    def catalog() -> Catalog:
        # One thread reads for all: it must not wait for a silent catalog longer than a client does.
        return open_catalog(config, answers_within_s=DEADLINE_S)

    files = Files(lambda: load(catalog(), config, BARS_TABLE), time.monotonic)
    return ArchivedBars(ArchiveReader(files))
