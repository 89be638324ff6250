"""What the worker does when the group and Redis disagree about a partition."""

from collections.abc import Callable
from typing import cast

import pytest
import structlog
from faust.types import TP
from prometheus_client import REGISTRY

from stream_processors.app import ReplacedError, StreamProcessors
from stream_processors.last_resort import END_AFTER_S, Stuck, StuckError
from stream_processors.partition.life import Partition
from stream_processors.partition.state import State
from stream_processors.settings import Settings
from stream_processors.transport.consumer_thread import PartitionReader
from stream_processors.transport.log import Log, LogEnd

A, B = TP("quotes", 0), TP("quotes", 1)
SESSION_S = 10.0


class Standing:
    """A partition that never changes."""

    def __init__(self, tp: TP) -> None:
        self.tp = tp
        self.state = State.FOLDING
        self.since_s = 0.0
        self.flushed_offset: int | None = 5
        self.folded_offset = 7
        self.is_hungry = True

    async def run(self) -> None:
        """Ends at once."""


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


Spoil = Callable[[App], object]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda app: setattr(app.partition(B), "state", State.REPLACED),
        lambda app: app.given.add(TP("quotes", 2)),
    ],
    ids=["another worker claimed it", "it was assigned and never started"],
)
@pytest.mark.parametrize("rebalancing", [False, True])
async def test_an_assigned_partition_that_is_long_not_folded_here_ends_the_worker(
    app: App, spoil: Spoil, *, rebalancing: bool
) -> None:
    spoil(app)
    app.rebalancing = rebalancing  # Faust may believe so forever
    app._check_folded(0.0)
    app._check_folded(2.9 * SESSION_S)
    with pytest.raises(ReplacedError, match="is assigned to this worker, which does not fold it"):
        app._check_folded(3.1 * SESSION_S)


async def test_a_partition_that_is_folded_again_in_the_meantime_or_stopped_does_not_end_the_worker(
    app: App,
) -> None:
    app.partition(B).state = State.REPLACED
    app._check_folded(0.0)
    app.partition(B).state = State.FOLDING
    app._check_folded(1.0)
    app.partition(B).state = State.REPLACED
    app._check_folded(2.0)
    app._check_folded(2.9 * SESSION_S)
    app.partition(B).state = State.STOPPED  # which is left to an operator
    app._check_folded(3.0 * SESSION_S)
    app._check_folded(100 * SESSION_S)


async def test_work_is_what_is_not_folded_and_lag_is_what_is_not_in_redis(
    app: App,
) -> None:
    assert app.work() == {A: 0, B: 0}, "none is known yet"
    app._ends = {A: LogEnd(10, stable=10), B: LogEnd(6, stable=6)}
    assert app.work() == {A: 3, B: 0}
    await app._report()
    assert [lag_of(0), lag_of(1)] == [5.0, 1.0]


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
    assert gauge_of(0, "open_transaction_seconds") == 0.0


async def test_a_broker_that_is_silent_for_long_keeps_no_transaction_open(app: App) -> None:
    app._ends = {A: LogEnd(10, stable=7)}
    for _ in range(2):  # between them, time passes
        await app._report()
        assert gauge_of(0, "open_transaction_seconds") == 0.0


async def test_partitions_are_counted_by_their_state(app: App) -> None:
    app.partition(B).state = State.STOPPED
    await app._report()
    labels = {"topic": "quotes", "state": "stopped"}
    assert REGISTRY.get_sample_value("partition_states", labels) == 1
    app.partition(B).state = State.FOLDING
    await app._report()
    assert REGISTRY.get_sample_value("partition_states", labels) == 0


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


def lag_of(partition: int) -> float | None:
    return gauge_of(partition, "lag_records")


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
