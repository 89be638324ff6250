"""The life of a partition: what it does in each state, in which order, and how it ends."""

import asyncio
import contextlib
import copy
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import cycle
from typing import Any, cast

import pytest
import structlog
from faust.types import TP
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from prometheus_client import REGISTRY

from contracts.changes import UnknownVersionError
from contracts.messages import Rejection
from contracts.topics import QUOTES
from runtime.redis.stores import AsyncStore
from stream_processors.compiled import CODE
from stream_processors.partition import assigned, life
from stream_processors.partition.assigned import AssignedPartitions
from stream_processors.partition.dead_letters import DeadLetters
from stream_processors.partition.life import FetchRefusedError, Partition
from stream_processors.partition.rules import Rules
from stream_processors.partition.state import State
from stream_processors.store.chunks import Unwritten
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.batches import UNKNOWN_EPOCH, BadRecord, RecordBatch
from stream_processors.transport.consumer_thread import PartitionReader
from stream_processors.transport.fetched import CorruptLogError
from stream_processors.transport.log import Log
from stream_processors.transport.producer import Outgoing
from tests import patience
from tests.examples import examples
from tests.stream_processors.folding import KEYSPACE, InMemoryProducer, batch_of
from tests.stream_processors.simulated_store import SimulatedStore, Turns, settled
from tests.stream_processors.simulation import SimulatedLog, World

pytestmark = pytest.mark.usefixtures("in_small_steps")

WITHIN_S = patience.PATIENCE_S
TP_0 = TP(QUOTES.name, 0)


class AtOnce(Turns):
    """Lets every call continue at once, except those for what is `held`."""

    held: asyncio.Event | None = None

    async def take(self, worker: int) -> None:
        if self.held:
            await self.held.wait()


@dataclasses.dataclass
class Noting:
    """A fold that notes the values it took, in the position; those in `bad` are invalid."""

    claim: Claim
    records_at_once: int = 100
    full_at: int = 1_000
    bad: Sequence[int] = ()
    taken: list[int] = dataclasses.field(default_factory=list)
    pending: int = 0
    is_due: bool = False

    def __post_init__(self) -> None:
        self.values = values_in(self.claim.position)

    @property
    def is_full(self) -> bool:
        return self.pending >= self.full_at

    def begun(self) -> Unwritten:
        return Unwritten()

    async def take(self, batch: RecordBatch) -> Sequence[Rejection]:
        values = [int(value or 0) for value in batch.values()]
        self.taken.append(len(values))
        self.pending += len(values)
        self.values += [value for value in values if value not in self.bad]
        return [Rejection(n, "bad") for n, value in enumerate(values) if value in self.bad]

    async def unwritten(self) -> Unwritten:
        return Unwritten(fields={"values": json.dumps(self.values)})

    def written(self) -> None:
        self.pending = 0
        self.is_due = False


def values_in(position: Mapping[str, str]) -> list[int]:
    return cast("list[int]", json.loads(position.get("values", "[]")))


class Scene:
    """The servers as seen by one partition, whose fetches a test makes."""

    def __init__(self) -> None:
        self.turns = AtOnce()
        self.world = World(sizes=cycle([1]), make={}, turns=self.turns)
        self.producer = InMemoryProducer(self.world.logs).as_producer()
        self.clock_s = 0.0
        self.is_members = False
        self.epoch_ends: Callable[[int], int | None] = lambda _: None
        self.sought: list[tuple[int, object]] = []
        self.folds: list[Noting] = []

    def partition(self, number: int = 0, **rules: Any) -> Partition:
        def make_fold(claim: Claim) -> Any:
            self.folds.append(Noting(claim, **rules))
            return self.folds[-1]

        return Partition(
            Rules(QUOTES, 1, 1.0, 0.5, make_fold),
            number,
            store=self.store(),
            log=cast("Log", SimulatedLog(self.world)),
            reader=cast("PartitionReader", self),
            dead_letters=DeadLetters(self.producer, TP(QUOTES.name, number)),
            clock_s=lambda: self.clock_s,
        )

    def store(self) -> Store:
        return Store(cast("AsyncStore", SimulatedStore(self.world.data, self.turns, 0)), KEYSPACE)

    @property
    def position(self) -> dict[str, str]:
        return self.world.data.get(KEYSPACE.position(QUOTES, 0), {})

    @property
    def values(self) -> list[int]:
        return values_in(self.position)

    @property
    def letters(self) -> list[int]:
        return [int(letter["offset"]) for letter in self.world.dead_letters()]

    async def seek(self, offset: int, its_life: object) -> None:
        self.sought.append((offset, its_life))

    async def epoch_end(self, epoch: int) -> int | None:
        return self.epoch_ends(epoch)

    async def is_ours(self) -> bool:
        return self.is_members

    def fetched(self, partition: Partition, offsets: Sequence[int], **changed: Any) -> None:
        """Deliver records, each of which has its offset as its value."""
        values = [(offset, b"%d" % offset) for offset in offsets]
        partition.inbox.put(batch_of(*TP_0, values, life=self.sought[-1][1], **changed))

    async def fold(self, partition: Partition, offsets: Sequence[int]) -> None:
        """Deliver records, and wait until they are folded."""
        self.fetched(partition, offsets)
        await until(lambda: partition.folded_offset == offsets[-1] + 1)

    def tick(self, partition: Partition) -> None:
        """Let an interval pass, and let the partition notice."""
        self.clock_s += 1
        partition.inbox.wake()


@pytest.fixture
def scene() -> Scene:
    return Scene()


@contextlib.asynccontextmanager
async def living(partition: Partition) -> AsyncIterator[asyncio.Task[None]]:
    """Keep it alive until the end of the block, once it folds."""
    task = asyncio.create_task(partition.run())
    try:
        await folding(partition)
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object]) -> None:
    await patience.until(condition, "the partition does it", every_s=0)


async def folding(partition: Partition) -> None:
    """Wait until it folds, and its next write is an interval away."""
    await until(lambda: partition.state is State.FOLDING)
    await until(lambda: partition._folding.flush_in_s > 0)


class Lives(RuleBasedStateMachine):
    """A partition while its log, its store and its group do what they may.

    Each record of the log is folded once, in its order, and what was written stays.
    """

    @initialize(has_epochs=st.booleans())
    def begin(self, *, has_epochs: bool) -> None:
        self.has_epochs = has_epochs
        self.loop = asyncio.new_event_loop()
        self.scene = Scene()
        self.scene.is_members = True
        self.scene.epoch_ends = self.epoch_end
        self.log = self.scene.world.logs[TP_0]
        self.epochs: list[int] = []
        """of the leader that appended each record"""
        self.epoch = 0
        self.number = self.at = self.seeks = self.incarnation = 0
        self.has_excuse = False
        """for a greater incarnation"""
        self.has_last = False
        """whether the position has had a last record of this log"""
        self.snapshot = copy.deepcopy(self.scene.world.data)
        self.written: set[int] = set()
        self.append(9)
        self.start()

    def start(self) -> None:
        self.partition = self.scene.partition()
        self.task = self.loop.create_task(self.partition.run())
        self.settle()

    def settle(self) -> None:
        """Wait until it waits, and follow its seeks."""
        self.loop.run_until_complete(settled())
        assert self.partition.state is State.FOLDING, self.partition.why
        if len(self.scene.sought) > self.seeks:
            self.seeks = len(self.scene.sought)
            self.at, self.life = self.scene.sought[-1]
            incarnation = self.scene.folds[-1].claim.incarnation
            if incarnation != self.incarnation:
                assert self.has_excuse
                # A replica that is behind may not know of the log's end that was lost.
                self.has_excuse = incarnation < self.incarnation
                self.incarnation = incarnation

    @property
    def earliest(self) -> int:
        return self.scene.world.earliest.get(TP_0, 0)

    @property
    def knows_its_epoch(self) -> bool:
        """Whether the position has had the epoch of a leader."""
        return self.has_epochs and self.has_last

    def epoch_end(self, epoch: int) -> int | None:
        later = (at for at, its in enumerate(self.epochs) if its > epoch)
        return next(later, len(self.log)) if self.has_epochs else None

    @rule(n=st.integers(1, 4))
    def append(self, n: int) -> None:
        for _ in range(n):
            self.number += 1
            self.log.append(Outgoing(None, b"%d" % self.number, ()))
        self.epochs += [self.epoch] * n

    @rule(n=st.integers(1, 6), markers=st.integers(0, 1))
    def fetch(self, n: int, markers: int) -> None:
        """Deliver some records, of which the last ones may turn out to be markers."""
        if not self.earliest <= self.at <= len(self.log):
            self.partition.inbox.put_failure(self.life, FetchRefusedError("out of range"))
        elif self.at < len(self.log):
            end = min(self.at + n, len(self.log))
            for offset in range(max(self.at, end - markers), end):
                self.log[offset] = self.log[offset]._replace(key=b"marker")
            self.hand(self.at, end)
            self.at = end
        self.settle()

    def hand(self, start: int, end: int) -> None:
        some = [(n, self.log[n][1]) for n in range(start, end) if self.log[n][0] is None]
        batch = batch_of(*TP_0, some, start=start, life=self.life)
        epoch = self.epochs[end - 1] if self.has_epochs else UNKNOWN_EPOCH
        self.partition.inbox.put(dataclasses.replace(batch, end=end, leader_epoch=epoch))

    @rule(n=st.integers(0, 4))
    def flush(self, n: int = 0) -> None:
        if n:
            self.fetch(n, 0)
        self.scene.tick(self.partition)
        self.settle()
        assert self.written <= set(self.scene.values)
        self.written = set(self.scene.values)
        self.has_last |= bool(self.scene.position["last"])

    @rule()
    def crash(self) -> None:
        self.task.cancel()
        self.loop.run_until_complete(settled())
        self.start()

    @rule(n=st.integers(1, 4))
    def expire(self, n: int) -> None:
        self.scene.world.earliest[TP_0] = min(self.earliest + n, len(self.log))

    @precondition(lambda self: self.knows_its_epoch)
    @rule(n=st.integers(0, 4))
    def elect_a_leader_without_the_end(self, n: int) -> None:
        cut = max(self.earliest, len(self.log) - n)
        self.has_excuse |= cut < len(self.log)
        del self.log[cut:], self.epochs[cut:]
        self.epoch += 1

    @rule()
    def recreate_the_topic(self) -> None:
        self.scene.world.topic_id += "+"
        self.scene.world.earliest.clear()
        self.log.clear()
        self.epochs.clear()
        self.epoch = 0
        self.has_excuse, self.has_last = True, False

    @precondition(lambda self: self.knows_its_epoch and not self.has_excuse)
    @rule(behind=st.integers(0, 9))
    def refuse_a_fetch_while_the_broker_is_behind(self, behind: int) -> None:
        self.scene.world.ends[TP_0] = max(self.earliest, len(self.log) - behind)
        self.partition.inbox.put_failure(self.life, FetchRefusedError("for a moment"))
        self.settle()
        self.scene.world.ends.clear()

    @precondition(lambda self: not self.has_excuse)
    @rule(behind=st.integers(0, 9))
    def let_a_former_owners_claim_arrive_late(self, behind: int) -> None:
        seeks = self.seeks
        self.loop.run_until_complete(self.scene.store().fence(QUOTES, 0, "{}"))
        self.append(1)
        self.fetch(9, 0)
        self.scene.world.ends[TP_0] = max(self.earliest, len(self.log) - behind)
        self.scene.tick(self.partition)
        self.settle()
        assert self.seeks > seeks
        self.scene.world.ends.clear()

    @rule()
    def keep_a_replica_of_the_store(self) -> None:
        self.snapshot = copy.deepcopy(self.scene.world.data)

    @precondition(lambda self: self.snapshot)
    @rule()
    def fail_over_to_the_replica(self) -> None:
        self.scene.world.data.clear()
        self.scene.world.data.update(copy.deepcopy(self.snapshot))
        self.written = set(self.scene.values)
        self.has_last = bool(self.scene.position["last"])
        self.has_excuse = True  # the replica may not know of the last one

    @rule(start=st.integers(-3, 3))
    def deliver_what_does_not_continue(self, start: int) -> None:
        first = self.at + start
        if start and 0 <= first < len(self.log):
            self.hand(first, len(self.log))
            self.settle()

    @rule(failure=st.sampled_from([None, FetchRefusedError("late")]))
    def deliver_what_an_earlier_life_requested(self, failure: Exception | None) -> None:
        if failure:
            self.partition.inbox.put_failure(object(), failure)
        else:
            self.partition.inbox.put(batch_of(*TP_0, [(self.at, b"0")], life=object()))
        self.settle()

    @rule()
    def deliver_it_damaged(self) -> None:
        at, times = self.partition._corrupt
        if at != self.partition.folded_offset or times + 1 < life._CORRUPT_FETCHES:
            self.partition.inbox.put_failure(self.life, CorruptLogError("Invalid CRC"))
            self.settle()

    def teardown(self) -> None:
        if not hasattr(self, "task"):
            return
        # What was lost is noticed at the next record; that the store is a replica, at a flush.
        for _ in range(2):
            self.fetch(1, 0)
            self.append(1)
            while self.at < len(self.log):
                self.fetch(4, 0)
                self.flush()
        found = self.scene.values
        assert len(found) == len(set(found))
        left = [int(value or 0) for key, value, _ in self.log[self.earliest :] if key is None]
        assert [value for value in found if value in left] == left
        self.task.cancel()
        self.loop.run_until_complete(settled())
        self.loop.close()


TestLives = Lives.TestCase
TestLives.settings = examples(300, stateful_step_count=30)


@pytest.mark.parametrize("crashes", [False, True])
def test_a_leader_without_the_end_is_noticed_again_before_the_next_record(*, crashes: bool) -> None:
    lives = Lives()
    lives.begin(has_epochs=True)
    lives.flush(9)
    for end in (6, 4):
        lives.elect_a_leader_without_the_end(len(lives.log) - end)
        lives.append(5)
        lives.fetch(1, 0)
        assert lives.at == end
        if crashes:
            lives.crash()
    lives.teardown()


async def test_due_writes_happen_without_new_records_and_no_others(scene: Scene) -> None:
    partition = scene.partition()
    async with living(partition):
        for is_due in (False, True):
            scene.folds[0].is_due = is_due
            flush, scene.folds[0].values = scene.position["flush"], [7]
            scene.tick(partition)
            await folding(partition)
            assert (scene.position["flush"] != flush, scene.values) == (is_due, [7] * is_due)


async def test_the_epoch_is_raised_before_the_logs_bounds_are_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier owner may flush until then; earlier bounds would look like another log's."""
    asked_at, bounds = list[str | None](), SimulatedLog.bounds

    async def noting(*arguments: Any) -> Any:
        asked_at.append(scene.position.get("epoch"))
        return await bounds(*arguments)

    monkeypatch.setattr(SimulatedLog, "bounds", noting)
    async with living(scene.partition()):
        assert asked_at == [scene.position["epoch"]]


async def test_a_batch_is_folded_in_pieces_and_flushed_in_between_when_the_fold_is_full(
    scene: Scene,
) -> None:
    flushed = []
    partition = scene.partition(records_at_once=4, full_at=8)
    async with living(partition):
        scene.folds[0].written = lambda: flushed.append(scene.folds[0].pending)  # type: ignore[method-assign]
        await scene.fold(partition, range(10))
    assert scene.folds[0].taken == [4, 4, 2]
    assert flushed[0] == 8


@pytest.fixture
async def moved(scene: Scene) -> Scene:
    """Three records were folded, and the topic has another id since then."""
    scene.world.log_of(QUOTES, 0, *(b"%d" % n for n in range(5)))
    partition = scene.partition()
    async with living(partition):
        await scene.fold(partition, [0, 1, 2])
        scene.tick(partition)
        await until(lambda: partition.flushed_offset == 3)
    scene.world.topic_id = "another"
    return scene


async def test_a_topic_with_another_id_and_the_same_records_waits_for_an_operator(
    moved: Scene,
) -> None:
    """Otherwise a move to another broker would count everything a second time."""
    before = dict(moved.position)
    partition = moved.partition()
    await asyncio.wait_for(partition.run(), WITHIN_S)
    assert partition.state is State.STOPPED
    for words in ("one", "another", "topics continue quotes", "topics start-over quotes"):
        assert words in partition.why
    assert moved.position == before | {"epoch": moved.position["epoch"]}


@pytest.mark.parametrize(
    ("log", "earliest"),
    [([b"0", b"1", b"other", b"3"], 0), ([b"0", b"1"], 0), ([b"0", b"1", b"2", b"3"], 3)],
    ids=["another record", "it is shorter", "it begins later"],
)
async def test_a_topic_with_another_id_and_other_records_was_recreated(
    moved: Scene, log: list[bytes], earliest: int
) -> None:
    its_log = moved.world.logs[TP_0]
    its_log[:] = [Outgoing(None, value, ()) for value in log]
    moved.world.earliest[TP_0] = earliest
    async with living(moved.partition()):
        assert moved.sought[-1][0] == earliest
        assert (moved.position["incarnation"], moved.position["topic_id"]) == ("1", "another")
    # It is not taken for a copy of the first one before its own first record is folded.
    moved.world.topic_id, its_log[:] = "a third", [Outgoing(None, b"%d" % n, ()) for n in range(5)]
    async with living(moved.partition()):
        assert moved.position["incarnation"] == "2"


async def test_a_replaced_partition_drops_its_state_and_waits_to_be_revoked(scene: Scene) -> None:
    old, new = scene.partition(), scene.partition()
    async with living(old) as its_end:
        its_life = scene.sought[0][1]
        async with living(new):
            old.inbox.put(batch_of(*TP_0, [(0, b"0")], life=its_life))
            await until(lambda: old.folded_offset == 1)
            scene.tick(old)
            await asyncio.wait_for(its_end, WITHIN_S)
    assert old.state is State.REPLACED
    assert "is at epoch" in old.why
    assert not old.is_hungry
    assert scene.position["next"] == "0"


async def test_too_many_bad_records_stop_it_with_the_letters_that_show_why_and_no_more(
    scene: Scene,
) -> None:
    partition = scene.partition(records_at_once=3_000, bad=range(3_000))
    with structlog.testing.capture_logs() as logs:
        async with living(partition) as its_end:
            scene.fetched(partition, range(3_000))
            await asyncio.wait_for(its_end, WITHIN_S)
    assert [(entry["log_level"], entry["why"]) for entry in logs] == [("error", partition.why)]
    assert partition.state is State.STOPPED
    assert "DEAD_LETTER_RATIO_MAX" in partition.why
    assert scene.letters == list(range(501))  # half of the latest 1,000 records
    assert scene.position["next"] == "0"


async def test_bad_and_unparsable_records_are_dead_letters_and_the_others_count(
    scene: Scene,
) -> None:
    partition = scene.partition(bad=[3])
    async with living(partition):
        batch = batch_of(*TP_0, [(n, b"%d" % n) for n in (0, 2, 3, 4)], life=scene.sought[-1][1])
        unreadable = [BadRecord(1, None, b"raw", "cannot be parsed")]
        partition.inbox.put(dataclasses.replace(batch, unreadable=unreadable))
        await until(lambda: len(scene.letters) == 2)
    assert (sorted(scene.letters), scene.folds[0].values) == ([1, 3], [0, 2, 4])


async def test_a_log_that_stays_corrupt_stops_its_partition_once_the_rest_is_written(
    scene: Scene,
) -> None:
    before = begun_anew("CorruptLogError")
    partition = scene.partition()
    corrupt = CorruptLogError("the log of quotes/0 cannot be read at offset 3: Invalid CRC")
    async with living(partition) as its_end:
        scene.fetched(partition, [0, 1, 2])
        for seeks in (1, 2, 3):
            await until(lambda seeks=seeks: len(scene.sought) == seeks)
            await folding(partition)
            partition.inbox.put_failure(scene.sought[-1][1], corrupt)
        await asyncio.wait_for(its_end, WITHIN_S)
    assert (partition.state, partition.why) == (State.STOPPED, str(corrupt))
    assert (scene.position["next"], scene.values) == ("3", [0, 1, 2])
    assert [offset for offset, _ in scene.sought] == [0, 3, 3]
    assert begun_anew("CorruptLogError") == before + 2


async def test_a_message_of_another_version_stops_its_partition_and_another_error_the_worker(
    scene: Scene,
) -> None:
    """An error is reported so that the process can end."""

    async def fail(_batch: RecordBatch) -> Sequence[Rejection]:
        raise error

    failures: list[BaseException] = []
    for error in (UnknownVersionError("version 2"), OSError("broken")):
        partitions = assigned_to([scene], failures)
        begin(partitions, 1)
        (partition,) = partitions
        await folding(partition)
        scene.folds[-1].take = fail  # type: ignore[method-assign]
        with structlog.testing.capture_logs() as logs:
            partitions.hand(batch_of(*TP_0, [(0, b"0")], life=scene.sought[-1][1]))
            await until(lambda logs=logs: logs)
        is_stopped = isinstance(error, UnknownVersionError)
        assert (partition.state is State.STOPPED, partition.why) == (
            (is_stopped, str(error) * is_stopped)
        )
        assert failures == [error] * (not is_stopped)
        assert logs[0]["partition"] == (0 if is_stopped else "quotes/0")


async def test_it_is_hungry_while_it_folds_and_has_room_and_writes_all_when_it_is_revoked(
    scene: Scene,
) -> None:
    partition = scene.partition(full_at=2_000)
    assert not partition.is_hungry
    async with living(partition) as its_end:
        assert partition.is_hungry
        values = [(n, b"%01000d" % n) for n in range(1_000)]
        partition.inbox.put(batch_of(*TP_0, values, life=scene.sought[-1][1]))
        assert not partition.is_hungry
        await until(lambda: partition.folded_offset == 1_000)
        assert partition.is_hungry
        assert partition.flushed_offset < 1_000
        partition.revoke()
        await asyncio.wait_for(its_end, WITHIN_S)
    assert partition.state is State.REVOKED
    assert scene.position["next"] == "1000"


def assigned_to(scenes: Sequence[Scene], failures: list[BaseException]) -> AssignedPartitions:
    return AssignedPartitions(
        lambda tp, _: scenes[tp.partition].partition(tp.partition), [QUOTES.name], failures.append
    )


def begin(partitions: AssignedPartitions, n: int) -> None:
    partitions.begin({TP(QUOTES.name, p): cast("PartitionReader", None) for p in range(n)})


BOTH = {TP(QUOTES.name, 0), TP(QUOTES.name, 1)}


async def test_a_partition_with_an_unreachable_store_does_not_delay_others() -> None:
    away, fine = scenes = Scene(), Scene()
    failures: list[BaseException] = []
    partitions = assigned_to(scenes, failures)
    away.turns.held = asyncio.Event()
    begin(partitions, 2)
    await until(lambda: partitions.hungry() == {TP(QUOTES.name, 1)})
    partitions.hand(batch_of(QUOTES.name, 1, [(0, b"0")], life=fine.sought[-1][1]))
    other = next(p for p in partitions if p.tp.partition == 1)
    await until(lambda: other.folded_offset == 1)
    fine.tick(other)
    await until(lambda: other.flushed_offset == 1)
    # What cannot be written in time stays unwritten.
    await partitions.revoke(BOTH, within_s=0.01)
    assert (list(partitions), failures) == ([], [])


async def test_a_partition_that_comes_back_publishes_the_letters_that_its_revocation_cancelled(
    scene: Scene,
) -> None:
    broker = AtOnce()
    broker.held = asyncio.Event()
    scene.producer = InMemoryProducer(scene.world.logs, broker).as_producer()
    partitions = AssignedPartitions(lambda *_: scene.partition(bad=[0]), [QUOTES.name], print)
    for is_back in (False, True):
        begin(partitions, 1)
        (partition,) = partitions
        await folding(partition)
        partitions.hand(batch_of(*TP_0, [(0, b"0")], life=scene.sought[-1][1]))
        await until(lambda partition=partition: partition.folded_offset == 1)
        scene.tick(partition)
        if not is_back:
            await until(lambda partition=partition: partition.state is State.FLUSHING)
            await partitions.revoke([TP_0], within_s=0.01)
            broker.held.set()
    await until(lambda: partition.flushed_offset == 1)
    assert scene.letters == [0]
    await partitions.revoke([TP_0])


async def test_bad_records_that_are_read_again_are_not_counted_twice(scene: Scene) -> None:
    partition = scene.partition(bad=range(300))
    async with living(partition):
        for seeks in (1, 2):
            await until(lambda seeks=seeks: len(scene.sought) == seeks)
            await scene.fold(partition, range(300))
            partition.inbox.put_failure(scene.sought[-1][1], FetchRefusedError("for a moment"))
        await until(lambda: len(scene.sought) > 2 or partition.state is State.STOPPED)
        assert partition.state is not State.STOPPED


async def test_no_partition_is_hungry_while_code_is_loaded_or_all_together_hold_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assigned, "HELD_BYTES_MAX", 500)
    scenes = [Scene(), Scene()]
    partitions = assigned_to(scenes, [])
    assert assigned_count() == 0
    begin(partitions, 2)
    assert assigned_count() == 2
    await until(lambda: partitions.hungry() == BOTH)
    with monkeypatch.context() as patch:
        patch.setattr(CODE, "is_loading", True)
        assert partitions.hungry() == set()
    scenes[1].turns.held = asyncio.Event()  # it is being folded, and its flush waits
    scenes[1].tick(next(p for p in partitions if p.tp.partition == 1))
    partitions.hand(batch_of(QUOTES.name, 1, [(0, b"0" * 500)], life=scenes[1].sought[-1][1]))
    assert partitions.hungry() == set()
    scenes[1].turns.held.set()
    await until(lambda: partitions.hungry() == BOTH)
    for revoked, left in ((1, 1), (0, 0)):
        await partitions.revoke({TP(QUOTES.name, n) for n in (revoked, 7)}, within_s=0.01)
        assert assigned_count() == left


def assigned_count() -> float | None:
    return REGISTRY.get_sample_value("partitions_assigned", {"topic": QUOTES.name})


def begun_anew(why: str) -> float:
    labels = {"topic": QUOTES.name, "why": why}
    return REGISTRY.get_sample_value("partitions_begun_anew_total", labels) or 0.0
