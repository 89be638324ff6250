"""Health means progress, and readiness that the servers answer."""

import asyncio
import time
from collections.abc import Callable
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
    for_s: float = 0.0
    waits: Waits = field(default_factory=Waits)
    why: str = ""
    folded_offset: int = 5

    @property
    def since_s(self) -> float:
        return time.monotonic() - self.for_s


def waiting(**its: Any) -> Standing:
    standing = Standing(**its)
    standing.waits._calls[STORE] = 1
    return standing


def flushing_slowly() -> Standing:
    standing = Standing(state=State.FLUSHING, for_s=LONG_S)
    standing.waits.note_answer()
    return standing


def waited(ago_s: float) -> Standing:
    now_s = time.monotonic()
    clock = iter([now_s - ago_s])
    waits = Waits(lambda: next(clock, now_s))
    with waits.on(STORE):
        pass
    return Standing(state=State.FLUSHING, for_s=3 * LONG_S, waits=waits)


@dataclass
class Worker:
    """A worker with work in all partitions; its health server's app, store and broker."""

    partitions: list[Standing]
    n_waiting: int = 10
    n_held_back: int = 0
    silent: TP | None = None
    broker_answers: bool = True

    def work(self) -> dict[TP, int]:
        return {partition.tp: self.n_waiting for partition in self.partitions}

    def held_back(self) -> dict[TP, int]:
        return {A: self.n_held_back} if self.n_held_back else {}

    async def answers(self) -> bool:
        return self.silent is None

    async def shard_answers(self, topic: Topic, partition: int) -> bool:
        return TP(topic.name, partition) != self.silent

    async def broker(self) -> bool:
        return self.broker_answers


async def asked(worker: Worker) -> list[httpx.Response]:
    """Return the responses of /health and /health/ready."""
    settings, app = Settings(metrics_port=free_port()), cast("StreamProcessors", worker)
    health = Health(app, worker, stalled_after_s=0)
    server = HealthServer(app, health, worker, worker.broker, settings)
    await server.start()
    try:
        address = f"http://127.0.0.1:{settings.metrics_port}"
        async with httpx.AsyncClient(base_url=address) as client:
            await client.get("/health")
            return [await client.get(path) for path in ("/health", "/health/ready")]
    finally:
        await server.stop()


LONG_S = 2 * STALLED_AFTER_S
WHY = "900 of the latest 1000 records are invalid"


@pytest.mark.parametrize(
    ("worker", "status", "ready", "partition"),
    [
        (lambda: Worker([Standing()]), "stalled", "stalled", {}),
        (lambda: Worker([Standing()], broker_answers=False), "waiting", "stalled", {}),
        (lambda: Worker([waiting(state=State.FLUSHING, for_s=LONG_S)]), "waiting", "ok",
         {"waits_for": [STORE]}),
        (lambda: Worker([Standing(), waiting(tp=B)]), "stalled", "stalled", {}),
        (lambda: Worker([Standing()], silent=A), "waiting", "stalled", {}),
        (lambda: Worker([Standing()], silent=B), "stalled", "stalled", {}),
        (lambda: Worker([waited(0)], 0), "ok", "ok", {}),
        (lambda: Worker([waited(LONG_S)], 0), "stalled", "stalled", {}),
        *(
            (lambda state=state: Worker([Standing(state=state, for_s=LONG_S)], 0), "stalled",
             "stalled", {})
            for state in (State.CLAIMING, State.RESUMING, State.FLUSHING)
        ),
        (lambda: Worker([Standing(for_s=LONG_S)], 0), "ok", "ok", {}),
        (lambda: Worker([flushing_slowly()]), "ok", "ok", {}),
        (lambda: Worker([Standing()], 0, n_held_back=7), "held back", "ok", {"held_back": 7}),
        (lambda: Worker([Standing(state=State.STOPPED, why=WHY)]), "ok", "stopped", {"why": WHY}),
    ],
    ids=[
        "it could progress", "the broker is away", "its shard is away", "another one waits",
        "its shard is silent", "another shard is silent", "a wait has just ended",
        "a wait has long ended", "claiming for long", "resuming for long", "flushing for long",
        "idle for long", "Redis takes its chunks", "an open transaction", "it was stopped",
    ],
)  # fmt: skip
async def test_a_worker_is_healthy_unless_a_partition_could_progress_and_ready_if_all_do(
    worker: Callable[[], Worker], status: str, ready: str, partition: dict[str, object]
) -> None:
    """A restart helps only if a partition could progress."""
    its = worker()
    of_health, of_ready = await asked(its)
    assert of_health.json()["status"] == status
    assert of_health.status_code == (503 if status == "stalled" else 200)
    assert partition.items() <= of_health.json()["partitions"]["quotes/0"].items()
    if status == "stalled":
        assert "quotes/0" in of_health.json()["stalled_s"]
        assert "quotes/1" not in of_health.json()["stalled_s"]
    said = of_ready.json()
    is_away = its.silent is not None or any(p.waits for p in its.partitions)
    assert (said["progress"], said["store"]) == (ready, "away" if is_away else "ok")
    is_ready = ready == "ok" and not is_away
    assert of_ready.status_code == (200 if is_ready else 503)
