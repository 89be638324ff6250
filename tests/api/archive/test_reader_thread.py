"""Reads of the archive block neither the loop nor an unbounded number of other reads."""

import asyncio
import threading
from typing import Any

import pytest

from api.bars.archive import reader
from api.bars.archive.reader import WAITING, ReaderThread
from api.bars.seam import ARCHIVE_UNAVAILABLE
from api.http.problems import OVERLOADED, Problem
from tests.patience import PATIENCE_S


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
