"""Health means progress; and what the worker does where the group and Redis disagree."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import httpx
import pytest
import structlog
from faust.types import TP
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import SlotNotCoveredError

from contracts.topics import Topic
from infra.local.process import free_port
from stream_processors.app import ReplacedError, StreamProcessors
from stream_processors.health import STALLED_AFTER_S, Health, HealthServer, Progress, answers_soon
from stream_processors.last_resort import END_AFTER_S, Stuck, StuckError
from stream_processors.partition.life import Partition
from stream_processors.partition.state import State
from stream_processors.patience import STORE, Waits
from stream_processors.settings import Settings
from stream_processors.transport.consumer_thread import PartitionReader
from stream_processors.transport.log import Log, LogEnd

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
    async def answering(error: Exception | None) -> bool:
        if error:
            raise error
        return True

    assert not await answers_soon(asyncio.Event().wait, within_s=0.01)
    for error in (RedisConnectionError(), SlotNotCoveredError()):  # which is no RedisError
        assert not await answers_soon(partial(answering, error))
    assert await answers_soon(partial(answering, None))


@dataclass
class Standing:
    """A partition that does not move."""

    tp: TP = A
    state: State = State.FOLDING
    since_s: float = field(default_factory=time.monotonic)
    waits: Waits = field(default_factory=Waits)
    why: str = ""
    flushed_offset: int | None = 5
    folded_offset: int = 7

    async def run(self) -> None:
        """Ends at once."""


def waiting(**its: Any) -> Standing:
    standing = Standing(**its)
    standing.waits._calls[STORE] = 1
    return standing


def flushing_slowly() -> Standing:
    standing = Standing(state=State.FLUSHING, since_s=-LONG_S)
    standing.waits.note_answer()
    return standing


def waited(ago_s: float) -> Standing:
    now_s = time.monotonic()
    clock = iter([now_s - ago_s])
    waits = Waits(lambda: next(clock, now_s))
    with waits.on(STORE):
        pass
    return Standing(state=State.FLUSHING, since_s=-3 * LONG_S, waits=waits)


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
        (lambda: Worker([waiting(state=State.FLUSHING, since_s=-LONG_S)]), "waiting", "ok",
         {"waits_for": [STORE]}),
        (lambda: Worker([Standing(), waiting(tp=B)]), "stalled", "stalled", {}),
        (lambda: Worker([Standing()], silent=A), "waiting", "stalled", {}),
        (lambda: Worker([Standing()], silent=B), "stalled", "stalled", {}),
        (lambda: Worker([waited(0)], 0), "ok", "ok", {}),
        (lambda: Worker([waited(LONG_S)], 0), "stalled", "stalled", {}),
        *(
            (lambda state=state: Worker([Standing(state=state, since_s=-LONG_S)], 0), "stalled",
             "stalled", {})
            for state in (State.CLAIMING, State.RESUMING, State.FLUSHING)
        ),
        (lambda: Worker([Standing(since_s=-LONG_S)], 0), "ok", "ok", {}),
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


SESSION_S = 10.0


class App(StreamProcessors):
    """The worker's app, not started: the test decides what the group has assigned."""

    def __init__(self) -> None:
        settings = Settings(session_timeout_s=SESSION_S)
        super().__init__(
            settings,
            "group",
            ["quotes"],
            lambda tp, _: cast("Partition", Standing(tp)),
            cast("Log", None),
        )
        self.given: set[TP] = set()

    def assigned(self) -> set[TP]:
        return self.given

    def partition(self, tp: TP) -> Standing:
        return cast("Standing", next(one for one in self.partitions if one.tp == tp))


@pytest.fixture
async def app() -> App:
    with structlog.testing.capture_logs():
        its = App()
        its.given = {A, B}
        its.partitions.begin(dict.fromkeys((A, B), cast("PartitionReader", None)))
        return its


@pytest.mark.parametrize("is_claimed_elsewhere", [False, True])
@pytest.mark.parametrize("rebalancing", [False, True])
async def test_an_assigned_partition_that_is_long_not_folded_here_ends_the_worker(
    app: App, *, is_claimed_elsewhere: bool, rebalancing: bool
) -> None:
    if is_claimed_elsewhere:
        app.partition(B).state = State.REPLACED
    else:
        app.given.add(TP("quotes", 2))  # it was assigned, and never started
    app.rebalancing = rebalancing  # Faust may believe so forever
    app._check_folded(0.0)
    app._check_folded(2.9 * SESSION_S)
    with pytest.raises(ReplacedError, match="is assigned to this worker, which does not fold it"):
        app._check_folded(3.1 * SESSION_S)


async def test_a_partition_that_is_folded_again_in_the_meantime_or_stopped_does_not_end_the_worker(
    app: App,
) -> None:
    for state, at_s in (
        (State.REPLACED, 0.0),
        (State.FOLDING, 1.0),
        *((State.REPLACED, at_s) for at_s in (2.0, 2.9 * SESSION_S)),
        *((State.STOPPED, n * SESSION_S) for n in (3.0, 100)),  # which is left to an operator
    ):
        app.partition(B).state = state
        app._check_folded(at_s)


async def test_work_is_what_is_not_folded_and_lag_is_what_is_not_in_redis(app: App) -> None:
    assert app.work() == {A: 0, B: 0}, "none is known yet"
    app._ends = {A: LogEnd(10, stable=10), B: LogEnd(6, stable=6)}
    assert app.work() == {A: 3, B: 0}
    for state, n_stopped in ((State.STOPPED, 1), (State.FOLDING, 0)):
        app.partition(B).state = state
        await app._report()
        assert [gauge_of(p, "lag_records") for p in (0, 1)] == [5.0, 1.0]
        labels = {"topic": "quotes", "state": "stopped"}
        assert REGISTRY.get_sample_value("partition_states", labels) == n_stopped


async def test_records_held_back_by_an_open_transaction_are_lag_but_not_work(app: App) -> None:
    app._ends = {A: LogEnd(10, stable=7), B: LogEnd(7, stable=7)}
    assert app.work() == {A: 0, B: 0}
    for now_s, since_s in ((0.0, 0.0), (90.0, 90.0)):
        app._ends_s = now_s
        app._report_lags()
        gauges = ("lag_records", "records_held_back", "open_transaction_seconds")
        assert [gauge_of(0, name) for name in gauges] == [5.0, 3.0, since_s]
        assert [gauge_of(1, name) for name in gauges] == [2.0, 0.0, 0.0]
    app._ends[A] = LogEnd(12, stable=9)  # another one is open now
    app._ends_s = 91.0
    app._report_lags()
    for _ in range(2):  # between them, time passes, and the broker is silent
        assert gauge_of(0, "open_transaction_seconds") == 0.0
        await app._report()


async def test_the_longest_stay_in_a_state_that_should_pass_is_shown_however_often_asked(
    app: App,
) -> None:
    def shown(now_s: float) -> float | None:
        app._report_states(now_s)
        return REGISTRY.get_sample_value("partition_passing_seconds", {"topic": "quotes"})

    assert shown(500.0) == 0  # both fold
    for state in (State.CLAIMING, State.RESUMING, State.FLUSHING):
        app.partition(A).state, app.partition(A).since_s = state, 100.0
        app.partition(B).state, app.partition(B).since_s = state, 400.0
        assert [shown(500.0), shown(560.0)] == [400.0, 460.0]
    app.partition(A).state = State.STOPPED
    assert shown(560.0) == 160.0


def gauge_of(partition: int, name: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"topic": "quotes", "partition": str(partition)})


def test_a_partition_that_could_progress_and_has_not_for_minutes_ends_the_worker() -> None:
    stuck = Stuck()
    for n in range(10):  # one that progressed, or could not, in the meantime
        stuck.check({A}, n * END_AFTER_S)
        stuck.check(set(), n * END_AFTER_S + 1)
    for n in range(10, 20):  # one partition after the other
        stuck.check({TP("quotes", n)}, n * END_AFTER_S)
    stuck.check({A}, 0.0)
    stuck.check({A, B}, END_AFTER_S)
    with pytest.raises(StuckError, match=r"^quotes/0: no progress in 180 s, though Kafka and"):
        stuck.check({A, B}, END_AFTER_S + 1)
