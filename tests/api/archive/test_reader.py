"""What a read of the archive does before anyone asks, and with a catalog that refuses or hangs."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyiceberg.table import Table

from api.bars.archive import reader
from api.bars.archive.files import Files
from api.bars.archive.reader import ArchivedBars, archived_bars
from api.bars.intervals import MINUTE
from api.bars.seam import Range
from api.http.problems import Problem
from runtime.archive.catalog import NotLetInError
from runtime.archive.config import ArchiveConfig
from tests.http_server import Handler, serving
from tests.patience import PATIENCE_S


@contextmanager
def silent_at_first(silent: int) -> Iterator[str]:
    """Serve a catalog that never answers the first requests, and says 503 to all others."""
    end, asked = threading.Event(), iter(range(1_000))

    class Catalog(Handler):
        def answer(self) -> None:
            if next(asked) < silent:
                end.wait(PATIENCE_S)
            else:
                self.send(503)

    with serving(Catalog) as address:
        try:
            yield f"http://{address}"
        finally:
            end.set()


async def read(archived: ArchivedBars) -> Exception | None:
    """Return what ends a read of a history, None if nothing does."""
    ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    asked = Range(4, 0, 60_000, MINUTE)
    found = archived.off_loop(lambda: archived.read(asked, "asc", 1, 1))
    found.start(lambda _, error: ended.set_result(error))
    return await asyncio.wait_for(ended, PATIENCE_S)


async def test_that_the_catalog_lets_the_api_not_in_is_for_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def load() -> Table:
        raise NotLetInError("as its answer says")

    archived = ArchivedBars(Files(load, time.monotonic))
    async with archived.running():
        problem = await read(archived)
    assert isinstance(problem, Problem)
    assert (problem.kind.status, problem.detail) == (503, "NotLetInError; see the server's log")
    assert "the archive cannot be read: NotLetInError: as its answer says" in caplog.text


async def test_a_catalog_that_falls_silent_delays_reads_once_not_until_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "DEADLINE_S", 0.5)
    with silent_at_first(2) as address:
        config = ArchiveConfig(catalog="rest", catalog_uri=address, warehouse="archive")
        archived = archived_bars(config)
        async with archived.running():
            reads = [str(await read(archived)) for _ in range(6)]
    assert reads[-1].startswith("ServiceUnavailableError"), reads
