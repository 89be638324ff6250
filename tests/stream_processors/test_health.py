"""Health means progress, and readiness that the servers answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
from faust.types import TP
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import SlotNotCoveredError

from contracts.topics import Topic
from infra.local.process import free_port
from stream_processors.app import StreamProcessors
from stream_processors.health import STALLED_AFTER_S, Health, HealthServer, Progress, answers_soon
from stream_processors.partition.state import State
from stream_processors.patience import STORE, Waits
from stream_processors.settings import Settings

A, B = TP("quotes", 0), TP("quotes", 1)


@pytest.mark.parametrize(
    "looks",
    [
        [({A: 5}, {A: 10}, 0, {}), ({A: 5}, {A: 10}, 30, {}), ({A: 5}, {A: 10}, 31, {A: 31})],
        [({A: n}, {A: 1_000_000}, n * 100, {}) for n in range(10)],
        [({A: 5}, {A: 0}, n * 100, {}) for n in range(3)],
        [
            ({A: 5}, {A: 0}, 0, {}),
            *(({A: 5}, {A: 3}, now_s, {}) for now_s in (100, 129)),
            ({A: 5}, {A: 3}, 131, {A: 31}),
        ],
        [({A: 5, B: 5}, {A: 1, B: 1}, 0, {}), ({A: 6, B: 5}, {A: 1, B: 1}, 40, {B: 40})],
        [({}, {A: 10}, 0, {}), ({}, {A: 10}, 31, {A: 31})],
        [({A: 5}, {A: 10}, 0, {}), ({}, {}, 20, {}), ({A: 5}, {A: 10}, 40, {})],
    ],
    ids=[
        "it does not move",
        "it moves, however far behind",
        "it has nothing to do",
        "idle time does not count",
        "each is judged alone",
        "it was never claimed",
        "it comes back",
    ],
)
def test_a_partition_whose_work_does_not_move_for_30_s_is_stalled(
    looks: list[tuple[dict[TP, int], dict[TP, int], float, dict[TP, float]]],
) -> None:
    """Each look has the folded offsets, the work that is left, the time, and what is stalled."""
    progress = Progress(stalled_after_s=30)
    for folded, work, now_s, stalled in looks:
        assert progress.stalled(folded, work, now_s) == stalled


async def test_a_server_that_is_silent_or_refuses_does_not_answer() -> None:
    async def silent() -> bool:
        await asyncio.Event().wait()
        return True

    async def refusing() -> bool:
        raise RedisConnectionError

    async def uncovered() -> bool:
        raise SlotNotCoveredError  # to redis-py it is no RedisError

    async def answering() -> bool:
        return True

    assert not await answers_soon(uncovered)
    assert not await answers_soon(silent, within_s=0.01)
    assert not await answers_soon(refusing)
    assert await answers_soon(answering)


@dataclass
class Standing:
    """A partition that does not move."""

    tp: TP = A
    state: State = State.FOLDING
    since_s: float = field(default_factory=time.monotonic)
    folded_offset: int = 5
    waits: Waits = field(default_factory=Waits)
    why: str = ""


class LaggingApp:
    """A worker with work in all partitions."""

    def __init__(self, *partitions: Standing, work: int = 10, held_back: int = 0) -> None:
        self.partitions = partitions
        self._work = work
        self._held_back = held_back

    def work(self) -> dict[TP, int]:
        return {partition.tp: self._work for partition in self.partitions}

    def held_back(self) -> dict[TP, int]:
        return {A: self._held_back} if self._held_back else {}


Asked = Callable[[LaggingApp], Awaitable[tuple[httpx.Response, httpx.Response]]]


@pytest.fixture
def asked() -> Asked:
    """The responses of /health and /health/ready while the servers answer."""

    async def ask(app: LaggingApp, *, broker_answers: bool = True, silent: TP | None = None) -> Any:
        class Store:
            async def answers(self) -> bool:
                return silent is None

            async def shard_answers(self, topic: Topic, partition: int) -> bool:
                return TP(topic.name, partition) != silent

        async def broker() -> bool:
            return broker_answers

        port = free_port()
        settings = Settings(metrics_port=port)
        its_app = cast("StreamProcessors", app)
        health = Health(its_app, Store(), stalled_after_s=0)
        server = HealthServer(its_app, health, Store(), broker, settings)
        await server.on_start()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                await client.get("/health")
                return await client.get("/health"), await client.get("/health/ready")
        finally:
            await server.on_stop()

    return ask


@pytest.mark.parametrize(
    ("broker", "status", "code"), [("answers", "stalled", 503), ("is away", "waiting", 200)]
)
async def test_a_worker_that_waits_for_the_broker_needs_no_restart(
    asked: Asked, broker: str, status: str, code: int
) -> None:
    app = LaggingApp(Standing())
    health, ready = await asked(app, broker_answers=broker == "answers")  # type: ignore[call-arg]
    assert (health.status_code, health.json()["status"]) == (code, status)
    assert ready.status_code == 503


async def test_a_partition_that_waits_for_its_shard_is_not_stalled_and_the_worker_is_not_ready(
    asked: Asked,
) -> None:
    long_ago = time.monotonic() - 2 * STALLED_AFTER_S
    waiting = Standing(state=State.FLUSHING, since_s=long_ago)
    with waiting.waits.on(STORE):
        health, ready = await asked(LaggingApp(waiting))
    assert (health.status_code, health.json()["status"]) == (200, "waiting")
    assert health.json()["partitions"]["quotes/0"]["waits_for"] == [STORE]
    assert (ready.status_code, ready.json()["store"]) == (503, "away")


async def test_a_partition_that_could_progress_is_stalled_even_if_another_one_waits(
    asked: Asked,
) -> None:
    waiting = Standing(tp=B)
    with waiting.waits.on(STORE):
        health, _ = await asked(LaggingApp(Standing(), waiting))
    assert (health.status_code, health.json()["status"]) == (503, "stalled")
    assert health.json()["stalled_s"].keys() == {"quotes/0"}


async def test_a_partition_with_a_silent_shard_waits_and_one_of_another_shard_is_stalled(
    asked: Asked,
) -> None:
    app = LaggingApp(Standing())
    health, ready = await asked(app, silent=A)  # type: ignore[call-arg]
    assert (health.status_code, health.json()["status"]) == (200, "waiting")
    assert (ready.status_code, ready.json()["store"]) == (503, "away")
    health, _ = await asked(app, silent=B)  # type: ignore[call-arg]
    assert (health.status_code, health.json()["status"]) == (503, "stalled")


async def test_a_wait_that_is_over_counts_as_progress_for_as_long_as_any_other(
    asked: Asked,
) -> None:
    now_s = time.monotonic()
    long_ago = now_s - 3 * STALLED_AFTER_S
    for waited_until_s, status in ((now_s, "ok"), (now_s - 2 * STALLED_AFTER_S, "stalled")):
        clock = iter([waited_until_s])
        waits = Waits(lambda clock=clock: next(clock, now_s))  # type: ignore[misc]
        with waits.on(STORE):
            pass
        partition = Standing(state=State.FLUSHING, since_s=long_ago, waits=waits)
        health, _ = await asked(LaggingApp(partition, work=0))
        assert health.json()["status"] == status


async def test_a_partition_that_stays_in_a_passing_state_is_stalled_also_without_work(
    asked: Asked,
) -> None:
    long_ago = time.monotonic() - 2 * STALLED_AFTER_S
    for state in (State.CLAIMING, State.RESUMING, State.FLUSHING):
        health, _ = await asked(LaggingApp(Standing(state=state, since_s=long_ago), work=0))
        assert (health.status_code, health.json()["status"]) == (503, "stalled")
    health, _ = await asked(LaggingApp(Standing(since_s=long_ago), work=0))
    assert health.json()["status"] == "ok"


async def test_what_an_open_transaction_holds_back_is_named_and_a_restart_would_not_help(
    asked: Asked,
) -> None:
    health, ready = await asked(LaggingApp(Standing(), work=0, held_back=7))
    assert health.json()["partitions"]["quotes/0"]["held_back"] == 7
    assert (health.status_code, health.json()["status"]) == (200, "held back")
    assert (ready.status_code, ready.json()["progress"]) == (200, "ok")


async def test_a_flush_that_takes_long_is_no_stall_while_redis_takes_its_chunks(
    asked: Asked,
) -> None:
    long_ago = time.monotonic() - 2 * STALLED_AFTER_S
    flushing = Standing(state=State.FLUSHING, since_s=long_ago)
    flushing.waits.note_answer()
    health, _ = await asked(LaggingApp(flushing))
    assert (health.status_code, health.json()["status"]) == (200, "ok")


async def test_a_stopped_partition_is_not_ready_and_says_why_and_a_restart_would_not_help(
    asked: Asked,
) -> None:
    stopped = Standing(state=State.STOPPED, why="900 of the latest 1000 records are invalid")
    health, ready = await asked(LaggingApp(stopped))
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert health.json()["partitions"]["quotes/0"]["why"] == stopped.why
    assert (ready.status_code, ready.json()["progress"]) == (503, "stopped")
