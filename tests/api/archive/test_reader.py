"""Reads of the archive are bounded and off the loop, even if its catalog refuses or hangs."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from pyiceberg.table import Table

from api.bars.archive import reader
from api.bars.archive.files import Files
from api.bars.archive.reader import WAITING, ArchivedBars, ReaderThread, archived_bars
from api.bars.intervals import MINUTE
from api.bars.seam import ARCHIVE_UNAVAILABLE, Range
from api.http.problems import OVERLOADED, Problem
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


class Request:
    """A piece of work that waits until it is released, and its result."""

    def __init__(self, threads: ReaderThread) -> None:
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        threads.start(self._work, self._done)

    def _work(self) -> str:
        self.begun.set()
        assert self.go_on.wait(PATIENCE_S)
        return threading.current_thread().name

    def _done(self, found: str | None, error: Exception | None) -> None:
        self.outcome.set_result(found if error is None else error)


async def is_late(asked: Request) -> None:
    problem = await asked.outcome
    assert isinstance(problem, Problem)
    assert problem.kind is ARCHIVE_UNAVAILABLE


async def test_more_than_may_wait_are_turned_away_at_once() -> None:
    with ReaderThread().running() as threads:
        under_way = Request(threads)
        await asyncio.to_thread(under_way.begun.wait, PATIENCE_S)
        waiting = [Request(threads) for _ in range(WAITING)]
        refused = Request(threads)
        assert refused.outcome.done()
        problem = refused.outcome.result()
        assert (problem.kind, str(problem)) == (
            OVERLOADED,
            f"{WAITING} reads of the archive are queued already: try again in a second",
        )
        for one in (under_way, *waiting):
            one.go_on.set()
        for one in (under_way, *waiting):
            assert isinstance(await one.outcome, str)


async def test_an_answer_has_a_deadline_and_what_is_late_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "DEADLINE_S", PATIENCE_S)
    with ReaderThread().running() as busy:
        under_way = Request(busy)
        await asyncio.to_thread(under_way.begun.wait, PATIENCE_S)
        with monkeypatch.context() as patch:
            patch.setattr(reader, "DEADLINE_S", 0.01)
            late = Request(busy)
        await is_late(late)
        under_way.go_on.set()
        after = Request(busy)
        after.go_on.set()
        assert isinstance(await after.outcome, str)
        assert not late.begun.is_set()
        monkeypatch.setattr(reader, "DEADLINE_S", 0.01)
        hanging = Request(busy)
        await is_late(hanging)
        hanging.go_on.set()


ROOT: Final = Path(__file__).parents[3]
WITHOUT: Final = """
import sys
import api.__main__
from api.hot.server import Server
Server.run = lambda server: setattr(server, "started", True)
api.__main__.main()
ours = ("api.bars.archive", "runtime.archive", "runtime.otlp", "opentelemetry.sdk.trace")
packages = ("pyarrow", "pyiceberg", "sqlalchemy", "opentelemetry.exporter")
print([name for name in sys.modules if name in packages or name.startswith(ours)])
"""
MISSING: Final = """
import sys
sys.modules["pyiceberg"] = None
import api.__main__
api.__main__.main()
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_without_an_archive_and_traces_nothing_of_them_is_imported() -> None:
    assert run(WITHOUT).stdout == "[]\n"


def test_what_is_not_installed_is_named_with_the_remedy() -> None:
    refused = run(MISSING, ARCHIVE_WAREHOUSE="/archive")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "ARCHIVE_WAREHOUSE='/archive': the packages that read it are not"
    )
    assert refused.stderr.endswith(
        "install tickrec[archive], or use the image tickrec/api-archive\n"
    )
