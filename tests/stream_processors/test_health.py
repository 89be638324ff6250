"""Health means progress, and readiness that the servers answer."""

import asyncio
from typing import cast

import httpx
import pytest
from faust.types import TP
from redis.exceptions import ConnectionError as RedisConnectionError

from infra.local.process import free_port
from stream_processors.app import StreamProcessors
from stream_processors.health import HealthServer, Progress, answers_soon
from stream_processors.settings import Settings

A, B = TP("quotes", 0), TP("quotes", 1)


def test_a_partition_with_work_that_does_not_move_is_stalled() -> None:
    progress = Progress(stalled_after_s=30)
    assert progress.stalled({A: 5}, {A: 10}, 0.0) == {}
    assert progress.stalled({A: 5}, {A: 10}, 30.0) == {}
    assert progress.stalled({A: 5}, {A: 10}, 31.0) == {A: 31.0}


def test_a_partition_that_moves_is_not_stalled_however_far_behind() -> None:
    progress = Progress(stalled_after_s=30)
    for n in range(10):
        assert progress.stalled({A: n}, {A: 1_000_000}, n * 100.0) == {}


def test_a_partition_with_nothing_to_do_is_not_stalled() -> None:
    progress = Progress(stalled_after_s=30)
    for n in range(3):
        assert progress.stalled({A: 5}, {A: 0}, n * 100.0) == {}


def test_idle_time_does_not_count_against_new_work() -> None:
    progress = Progress(stalled_after_s=30)
    progress.stalled({A: 5}, {A: 0}, 0.0)
    assert progress.stalled({A: 5}, {A: 3}, 100.0) == {}
    assert progress.stalled({A: 5}, {A: 3}, 129.0) == {}
    assert progress.stalled({A: 5}, {A: 3}, 131.0) == {A: 31.0}


def test_each_partition_is_judged_alone() -> None:
    progress = Progress(stalled_after_s=30)
    progress.stalled({A: 5, B: 5}, {A: 1, B: 1}, 0.0)
    assert progress.stalled({A: 6, B: 5}, {A: 1, B: 1}, 40.0) == {B: 40.0}


def test_a_partition_that_was_assigned_and_never_claimed_is_stalled() -> None:
    progress = Progress(stalled_after_s=30)
    progress.stalled({}, {A: 10}, 0.0)
    assert progress.stalled({}, {A: 10}, 31.0) == {A: 31.0}


def test_a_partition_that_comes_back_is_judged_anew() -> None:
    progress = Progress(stalled_after_s=30)
    progress.stalled({A: 5}, {A: 10}, 0.0)
    progress.stalled({}, {}, 20.0)
    assert progress.stalled({A: 5}, {A: 10}, 40.0) == {}


async def test_a_server_that_says_nothing_or_refuses_does_not_answer() -> None:
    async def silent() -> bool:
        await asyncio.Event().wait()
        return True

    async def refusing() -> bool:
        raise RedisConnectionError

    async def answering() -> bool:
        return True

    assert not await answers_soon(silent, within_s=0.01)
    assert not await answers_soon(refusing)
    assert await answers_soon(answering)


class LaggingApp:
    """A worker with work that never moves."""

    def lags(self) -> dict[TP, int]:
        return {A: 10}

    def flushed_offsets(self) -> dict[TP, int]:
        return {A: 5}


@pytest.mark.parametrize(
    ("store", "status", "code"), [("answers", "stalled", 503), ("is away", "waiting", 200)]
)
async def test_a_worker_that_waits_for_a_server_is_not_to_be_started_again(
    store: str, status: str, code: int
) -> None:
    async def ask() -> bool:
        return store == "answers"

    port = free_port()
    settings = Settings(metrics_port=port)
    server = HealthServer(cast("StreamProcessors", LaggingApp()), {"store": ask}, settings)
    server._progress = Progress(stalled_after_s=0)
    await server.on_start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await client.get("/health")
            health, ready = await client.get("/health"), await client.get("/health/ready")
    finally:
        await server.on_stop()
    assert (health.status_code, health.json()["status"]) == (code, status)
    assert ready.status_code == 503
