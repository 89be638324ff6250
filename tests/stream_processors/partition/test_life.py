"""The life of a partition: what it does in each state, in which order, and how it ends."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import structlog
from faust.types import TP
from prometheus_client import REGISTRY

from contracts.changes import UnknownVersionError
from contracts.keyspace import Keyspace
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
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.batches import UNKNOWN_EPOCH, BadRecord, RecordBatch
from stream_processors.transport.fetched import CorruptLogError
from stream_processors.transport.log import Log, LogBounds, TopicRecreatedError
from tests import patience
from tests.stream_processors.records import batch_of
from tests.stream_processors.simulated_store import Hashes, SimulatedStore, Turns

KEYSPACE = Keyspace("lives")
WITHIN_S = patience.PATIENCE_S


class AtOnce(Turns):
    """Lets every call continue at once, except those for what is `held`."""

    held: asyncio.Event | None = None

    async def take(self, worker: int) -> None:
        if self.held:
            await self.held.wait()


@dataclass
class Scene:
    """The servers as seen by one partition."""

    data: Hashes = field(default_factory=dict)
    turns: AtOnce = field(default_factory=AtOnce)
    topic_id: str = "one"
    earliest: int = 0
    end: int = 0
    clock_s: float = 0.0
    is_members: bool = False
    """whether the group confirms the partition as its worker's"""
    sought: list[tuple[int, object]] = field(default_factory=list)
    records: dict[int, tuple[bytes | None, bytes | None]] = field(default_factory=dict)
    """key and value of the record at an offset"""
    epoch_ends: dict[int, int] = field(default_factory=dict)
    """where leader epochs end"""
    folds: list["Summing"] = field(default_factory=list)
    letters: list[int] = field(default_factory=list)
    before_bounds: Callable[[], None] = lambda: None
    lives_with_its_log: bool = False

    def partition(self, number: int = 0, **rules: Any) -> Partition:
        def make_fold(claim: Claim) -> Summing:
            self.folds.append(Summing(claim, lives_with_its_log=self.lives_with_its_log, **rules))
            return self.folds[-1]

        store = Store(cast("AsyncStore", SimulatedStore(self.data, self.turns, 0)), KEYSPACE)
        return Partition(
            Rules(QUOTES, 1, 1.0, 0.5, make_fold),
            number,
            store=store,
            log=cast("Log", self),
            reader=self,
            dead_letters=cast("DeadLetters", Letters(self.letters)),
            clock_s=lambda: self.clock_s,
        )

    @property
    def position(self) -> dict[str, str]:
        return self.data.get(KEYSPACE.position(QUOTES, 0), {})

    @property
    def total(self) -> str | None:
        return self.data.get(KEYSPACE.bars(0, 0), {}).get("total")

    def epoch(self) -> int:
        return int(self.position.get("epoch", 0))

    # The log and the transport, as a partition uses them.

    async def bounds(self, topic: str, partition: int) -> LogBounds:
        self.before_bounds()
        return LogBounds(self.topic_id, self.earliest, self.end)

    async def check(self, topic: str, topic_id: str) -> None:
        if topic_id != self.topic_id:
            raise TopicRecreatedError(f"{topic} is {self.topic_id}, was {topic_id}")

    async def record(
        self, topic: str, partition: int, offset: int
    ) -> tuple[bytes | None, bytes | None] | None:
        return self.records.get(offset)

    async def seek_to(self, tp: TP, offset: int, its_life: object) -> None:
        self.sought.append((offset, its_life))

    async def epoch_end(self, tp: TP, epoch: int) -> int | None:
        return self.epoch_ends.get(epoch)

    async def is_ours(self, tp: TP) -> bool:
        return self.is_members

    def was_at(self, next_offset: int, **other: str) -> None:
        """Note a position of the first log, as a former owner did."""
        known = {"epoch": "1", "incarnation": "0", "topic_id": "one", "lineage": "1"}
        self.data[KEYSPACE.position(QUOTES, 0)] = known | {"next": str(next_offset)} | other

    # What a test does to a partition.

    def fetched(
        self,
        partition: Partition,
        offsets: Sequence[int],
        start: int,
        end: int | None = None,
        leader_epoch: int = UNKNOWN_EPOCH,
    ) -> None:
        """Deliver the result of a fetch at `start`; each record's value is its offset."""
        values = [(offset, b"%d" % offset) for offset in offsets]
        batch = batch_of("quotes", 0, values, start=start, life=self.sought[-1][1])
        if end is not None:
            batch = dataclasses.replace(batch, end=end)
        partition.hand(dataclasses.replace(batch, leader_epoch=leader_epoch))

    async def fold(
        self, partition: Partition, offsets: Sequence[int], leader_epoch: int = UNKNOWN_EPOCH
    ) -> None:
        """Deliver records, and wait until they are folded."""
        self.fetched(partition, offsets, offsets[0], leader_epoch=leader_epoch)
        await until(lambda: partition.folded_offset == offsets[-1] + 1)

    async def flush(self, partition: Partition) -> None:
        """Let an interval pass, and wait until what was folded is written."""
        tick(self, partition)
        await until(lambda: partition.flushed_offset == partition.folded_offset)


class Letters:
    """Dead letters that are always accepted."""

    def __init__(self, letters: list[int]) -> None:
        self._letters = letters

    async def publish(self, tp: TP, bad: Sequence[BadRecord]) -> None:
        self._letters += [record.offset for record in bad]

    async def settled(self, tp: TP) -> None:
        """At once."""


class Summing:
    """A fold that adds offsets up; those in `bad` are invalid."""

    def __init__(
        self,
        claim: Claim,
        *,
        at_once: int = 100,
        full_at: int = 1_000,
        bad: frozenset[int] = frozenset(),
        lives_with_its_log: bool = False,
    ) -> None:
        self.claim = claim
        self._lives_with_its_log = lives_with_its_log
        self.records_at_once = at_once
        self._full_at = full_at
        self._bad = bad
        self.total = 0
        self.taken: list[int] = []
        self.pending = 0
        self.is_due = False

    @property
    def is_full(self) -> bool:
        return self.pending >= self._full_at

    def begun(self) -> Unwritten:
        deleted = Group(self.claim.keyspace.bars(0, 0), command("DEL", []))
        return Unwritten(
            [deleted] if self._lives_with_its_log and self.claim.starts_over else (),
            {"begun": str(self.claim.next_offset)},
        )

    async def take(self, batch: RecordBatch) -> Sequence[Rejection]:
        offsets = [record.offset for record in batch.records]
        self.taken.append(len(offsets))
        self.pending += len(offsets)
        self.total += sum(offset for offset in offsets if offset not in self._bad)
        return [Rejection(n, "bad") for n, offset in enumerate(offsets) if offset in self._bad]

    async def unwritten(self) -> Unwritten:
        key = self.claim.keyspace.bars(0, 0)
        group = Group(key, command("HSET", ["total", str(self.total)]))
        return Unwritten([group], {"closed": "60"} if self.is_due else {})

    def written(self) -> None:
        self.pending = 0
        self.is_due = False


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "_RESTART_AFTER_S", 0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@contextlib.asynccontextmanager
async def living(partition: Partition) -> AsyncIterator[asyncio.Task[None]]:
    """Keep it alive until the end of the block."""
    task = asyncio.create_task(partition.run())
    try:
        with structlog.testing.capture_logs():
            yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def tick(scene: Scene, partition: Partition) -> None:
    """Let an interval pass, and let the partition notice."""
    scene.clock_s += 1
    partition._inbox.wake()


async def until(condition: Callable[[], object]) -> None:
    await patience.until(condition, "the partition does it", every_s=0)


async def folding(partition: Partition) -> None:
    """Wait until it folds, and its next write is an interval away."""
    await until(lambda: partition.state is State.FOLDING)
    await until(lambda: partition._flush_times.in_s(partition._clock_s()) > 0)


@contextlib.asynccontextmanager
async def started(scene: Scene, **rules: Any) -> AsyncIterator[Partition]:
    """A partition that folds until the end of the block."""
    partition = scene.partition(**rules)
    async with living(partition):
        await folding(partition)
        yield partition


async def test_due_writes_happen_without_new_records_and_no_others(
    scene: Scene,
) -> None:
    async with started(scene) as partition:
        tick(scene, partition)
        await folding(partition)
        assert scene.total is None
        scene.folds[0].is_due = True
        tick(scene, partition)
        await until(lambda: scene.total == "0")
        await folding(partition)
    assert (scene.position["next"], scene.position["closed"]) == ("0", "60")


async def test_the_epoch_is_raised_before_the_logs_bounds_are_read(scene: Scene) -> None:
    """An earlier owner may flush until then; earlier bounds would look like another log's."""
    asked_at: list[int] = []
    scene.before_bounds = lambda: asked_at.append(scene.epoch())
    async with living(scene.partition()) as _:
        await until(lambda: scene.sought)
    assert asked_at == [scene.epoch()]
    assert asked_at[0] > 0


@pytest.mark.parametrize(
    ("position", "left"),
    [
        (None, None),
        ({"topic_id": "another"}, None),
        ({}, "7"),
        ({"next_offset": 1}, "7"),  # which the log no longer has
    ],
    ids=["empty store", "topic recreated", "same topic", "cut log"],
)
async def test_a_state_that_lives_with_its_log_is_emptied_before_another_log_is_folded(
    scene: Scene, position: dict[str, Any] | None, left: str | None
) -> None:
    scene.lives_with_its_log = True
    scene.data[KEYSPACE.bars(0, 0)] = {"total": "7"}
    if position is not None:
        scene.was_at(**{"next_offset": 40} | position)
    scene.earliest, scene.end = 2, 50
    async with living(scene.partition()):
        await until(lambda: scene.sought)
    assert scene.total == left
    assert scene.position["topic_id"] == "one"


async def test_a_log_that_lost_its_end_leaves_the_state_that_was_folded_from_it(
    scene: Scene,
) -> None:
    scene.lives_with_its_log = True
    scene.data[KEYSPACE.bars(0, 0)] = {"total": "7"}
    scene.was_at(40)
    scene.end = 30
    partition = scene.partition()
    async with living(partition):
        await until(lambda: scene.sought)
        partition.fail(scene.sought[0][1], FetchRefusedError("out of range"))
        await until(lambda: len(scene.sought) == 2)
    assert (scene.position["incarnation"], scene.total) == ("1", "7")


async def test_a_batch_of_markers_only_moves_the_position_too(scene: Scene) -> None:
    async with started(scene) as partition:
        scene.fetched(partition, [], start=0, end=5)
        await until(lambda: partition.folded_offset == 5)
        scene.fetched(partition, [5], start=5, end=7)
        await until(lambda: partition.folded_offset == 7)


async def test_a_batch_is_folded_in_pieces_and_flushed_in_between_when_the_fold_is_full(
    scene: Scene,
) -> None:
    flushed = []
    async with started(scene, at_once=4, full_at=8) as partition:
        scene.folds[0].written = lambda: flushed.append(scene.folds[0].pending)  # type: ignore[method-assign]
        scene.fetched(partition, range(10), start=0, end=12)
        await until(lambda: partition.folded_offset == 12)
    assert scene.folds[0].taken == [4, 4, 2]
    assert flushed[0] == 8


@pytest.mark.parametrize("start", [2, 5], ids=["it goes back", "it leaves a gap"])
async def test_a_batch_that_does_not_continue_the_last_one_restarts_the_partition(
    scene: Scene, start: int
) -> None:
    before = begun_anew("NotContiguousError")
    async with started(scene) as partition:
        await scene.fold(partition, [0, 1, 2])
        scene.fetched(partition, [start], start=start)
        await until(lambda: len(scene.sought) == 2)
        resumed_at, _ = scene.sought[1]
        assert resumed_at == int(scene.position["next"]) <= 3
        await scene.fold(partition, range(resumed_at, 6))
    assert scene.folds[1].total == sum(range(resumed_at, 6))
    assert begun_anew("NotContiguousError") == before + 1


async def test_what_was_fetched_for_an_earlier_life_is_not_folded(scene: Scene) -> None:
    async with started(scene) as partition:
        former = batch_of("quotes", 0, [(0, b""), (1, b""), (2, b"")], life=object())
        partition.hand(former)
        partition.fail(object(), FetchRefusedError("of an earlier life"))
        scene.fetched(partition, [0], start=0)
        await until(lambda: partition.folded_offset)
    assert scene.folds[0].taken == [1]


async def test_nothing_of_a_recreated_topic_is_written_under_the_old_ones_position(
    scene: Scene,
) -> None:
    """It outgrew the old position before it was fetched, so offsets prove nothing."""
    async with started(scene) as partition:
        await scene.fold(partition, [0, 1, 2])
        await scene.flush(partition)
        scene.topic_id = "another"
        await scene.fold(partition, [3, 4])
        tick(scene, partition)
        await until(lambda: len(scene.sought) == 2)
        assert scene.total == "3"
        await scene.fold(partition, range(6))
        await scene.flush(partition)
    assert (scene.position["incarnation"], scene.position["topic_id"]) == ("1", "another")
    assert scene.folds[1].total == 15


@pytest.fixture
async def moved(scene: Scene) -> Scene:
    """Three records were folded, and the topic has another id since then."""
    async with started(scene) as partition:
        await scene.fold(partition, [0, 1, 2])
        await scene.flush(partition)
    scene.topic_id, scene.end = "another", 5
    return scene


async def test_a_topic_with_another_id_and_the_same_records_waits_for_an_operator(
    moved: Scene,
) -> None:
    """Otherwise a move to another broker would count everything a second time."""
    before = dict(moved.position)
    moved.records[2] = (None, b"2")
    partition = moved.partition()
    async with living(partition) as its_end:
        await asyncio.wait_for(its_end, WITHIN_S)
    assert partition.state is State.STOPPED
    for words in (
        "one",
        "another",
        "operations.topics continue quotes",
        "operations.topics start-over quotes",
    ):
        assert words in partition.why
    assert moved.position == before | {"epoch": moved.position["epoch"]}


@pytest.mark.parametrize(
    ("records", "earliest", "end"),
    [
        ({2: (None, b"other")}, 0, 5),
        ({}, 0, 5),
        ({2: (None, b"2")}, 0, 2),
        ({2: (None, b"2")}, 3, 5),
    ],
    ids=["another record", "no record", "it is shorter", "it begins later"],
)
async def test_a_topic_with_another_id_and_other_records_was_recreated(
    moved: Scene, records: dict[int, tuple[bytes | None, bytes | None]], earliest: int, end: int
) -> None:
    moved.records, moved.earliest, moved.end = records, earliest, end
    async with living(moved.partition()):
        await until(lambda: len(moved.sought) == 2)
    assert moved.sought[1][0] == earliest
    assert (moved.position["incarnation"], moved.position["topic_id"]) == ("1", "another")


async def test_a_recreated_topic_is_not_taken_for_a_copy_before_its_first_folded_record(
    moved: Scene,
) -> None:
    async with living(moved.partition()):
        await until(lambda: len(moved.sought) == 2)
    moved.topic_id, moved.records[2] = "a third", (None, b"2")
    async with living(moved.partition()):
        await until(lambda: len(moved.sought) == 3)
    assert moved.position["incarnation"] == "2"


async def test_after_a_refused_fetch_it_reads_the_logs_bounds_again(scene: Scene) -> None:
    async with started(scene) as partition:
        await scene.fold(partition, [0, 1, 2, 3])
        await scene.flush(partition)
        scene.earliest, scene.end = 10, 20
        partition.fail(scene.sought[-1][1], FetchRefusedError("out of range"))
        await until(lambda: len(scene.sought) == 2)
        assert scene.sought[1][0] == 10
        scene.earliest, scene.end = 0, 7
        await folding(partition)
        partition.fail(scene.sought[-1][1], FetchRefusedError("out of range"))
        await until(lambda: len(scene.sought) == 3)
    assert (scene.sought[2][0], scene.position["incarnation"]) == (7, "1")


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_log_that_was_cut_and_grew_again_is_resumed_where_it_was_cut(
    scene: Scene, *, restarted: bool
) -> None:
    """As after an unclean election: the position is within a log that has other records there."""
    async with started(scene) as partition:
        await scene.fold(partition, range(6), leader_epoch=4)
        await scene.flush(partition)
        scene.epoch_ends, scene.end = {4: 3}, 9
        if not restarted:
            scene.fetched(partition, [6, 7, 8], start=6, leader_epoch=6)
            await until(lambda: len(scene.sought) == 2)
    if restarted:
        partition = scene.partition()
        async with living(partition):
            await folding(partition)
            scene.fetched(partition, [6, 7, 8], start=6, leader_epoch=6)
            await until(lambda: len(scene.sought) == 3)
    assert scene.sought[-1][0] == 3
    assert (scene.position["next"], scene.position["incarnation"]) == ("3", "1")
    assert scene.total == "15"  # what was folded stays


async def test_a_new_leader_that_has_all_that_was_folded_changes_nothing(scene: Scene) -> None:
    async with started(scene) as partition:
        scene.fetched(partition, range(6), start=0, leader_epoch=4)
        scene.epoch_ends = {4: 6}
        await scene.fold(partition, [6], leader_epoch=5)
    assert (len(scene.sought), scene.position["incarnation"]) == (1, "0")


async def test_a_leader_with_an_unknown_end_cuts_off_nothing_that_its_epochs_have(
    scene: Scene,
) -> None:
    async with started(scene) as partition:
        await scene.fold(partition, range(6), leader_epoch=4)
        await scene.flush(partition)
        scene.epoch_ends, scene.end = {4: 6}, 2
        partition.fail(scene.sought[0][1], FetchRefusedError("out of range"))
        await until(lambda: len(scene.sought) == 2)
    assert (scene.sought[1][0], scene.position["incarnation"]) == (6, "0")


async def test_a_replaced_partition_drops_its_state_and_waits_to_be_revoked(scene: Scene) -> None:
    old, new = scene.partition(), scene.partition()
    async with living(old) as its_end, living(new):
        await folding(old)
        await until(lambda: len(scene.sought) == 2)
        old.hand(batch_of("quotes", 0, [(0, b"")], life=scene.sought[0][1]))
        await until(lambda: old.folded_offset == 1)
        tick(scene, old)
        await asyncio.wait_for(its_end, WITHIN_S)
    assert old.state is State.REPLACED
    assert "is at epoch" in old.why
    assert not old.is_hungry
    assert scene.total is None


@pytest.mark.parametrize("failed", [[], [FetchRefusedError], [FetchRefusedError, CorruptLogError]])
async def test_a_late_claim_of_a_former_owner_is_taken_back_from_it(
    scene: Scene, failed: list[type[Exception]]
) -> None:
    """It was sent while Redis was paused, and the partition has been assigned to us since.

    Fetches failed before, and the broker that is asked for the log's end is behind now.
    """
    scene.is_members = True
    scene.was_at(40)
    scene.end = 50
    late = Store(cast("AsyncStore", SimulatedStore(scene.data, scene.turns, 1)), KEYSPACE)
    async with started(scene) as partition:
        for n, failure in enumerate(failed, 2):
            partition.fail(scene.sought[-1][1], failure("once"))
            await until(lambda n=n: len(scene.sought) == n)
            await folding(partition)
            assert scene.sought[-1][0] == 40
            scene.end = 30
        await scene.fold(partition, [40, 41])
        await scene.flush(partition)
        await scene.fold(partition, [42])
        scene.end = 30
        await late.fence(QUOTES, 0, "{}")
        tick(scene, partition)
        await until(lambda: len(scene.sought) == len(failed) + 2)
    assert (scene.sought[-1][0], scene.position["incarnation"]) == (42, "0")
    assert begun_anew("FencedError")


async def test_a_store_that_went_back_is_claimed_again_and_the_log_folded_from_there(
    scene: Scene,
) -> None:
    async with started(scene) as partition:
        await scene.fold(partition, [0, 1, 2, 3])
        await scene.flush(partition)
        scene.position.update(next="2", flush="an earlier one")
        await scene.fold(partition, [4])
        tick(scene, partition)
        await until(lambda: len(scene.sought) == 2)
    assert scene.sought[1][0] == 2


async def test_too_many_bad_records_stop_it_with_the_letters_that_show_why_and_no_more(
    scene: Scene,
) -> None:
    partition = scene.partition(at_once=3_000, bad=frozenset(range(0, 3_000, 1)))
    async with living(partition) as its_end:
        await folding(partition)
        scene.fetched(partition, range(3_000), start=0)
        await asyncio.wait_for(its_end, WITHIN_S)
    assert partition.state is State.STOPPED
    assert "DEAD_LETTER_RATIO_MAX" in partition.why
    assert scene.letters == list(range(501))  # half of the latest 1,000 records
    assert scene.position["next"] == "0"


async def test_bad_and_unparsable_records_are_dead_letters_and_the_others_count(
    scene: Scene,
) -> None:
    async with started(scene, bad=frozenset({3})) as partition:
        values = [(0, b"0"), (2, b"2"), (3, b"3"), (4, b"4")]
        batch = batch_of("quotes", 0, values, life=scene.sought[-1][1])
        unreadable = [BadRecord(1, None, b"raw", "cannot be parsed")]
        partition.hand(dataclasses.replace(batch, unreadable=unreadable))
        await until(lambda: partition.folded_offset == 5)
    assert (sorted(scene.letters), scene.folds[0].total) == ([1, 3], 6)


async def test_a_log_that_stays_corrupt_stops_its_partition_once_the_rest_is_written(
    scene: Scene,
) -> None:
    partition = scene.partition()
    corrupt = CorruptLogError("the log of quotes/0 cannot be read at offset 3: Invalid CRC")
    async with living(partition) as its_end:
        await folding(partition)
        scene.fetched(partition, [0, 1, 2], start=0)
        for seeks in (1, 2, 3):
            await until(lambda seeks=seeks: len(scene.sought) == seeks)
            await folding(partition)
            partition.fail(scene.sought[-1][1], corrupt)
        await asyncio.wait_for(its_end, WITHIN_S)
    assert partition.state is State.STOPPED
    assert partition.why == str(corrupt)
    assert (scene.position["next"], scene.total) == ("3", "3")
    assert [offset for offset, _ in scene.sought] == [0, 3, 3]


async def test_a_log_that_was_corrupt_once_is_folded_when_it_arrives_intact(scene: Scene) -> None:
    partition = scene.partition()
    async with living(partition):
        for offset in range(3):
            await folding(partition)
            partition.fail(scene.sought[-1][1], CorruptLogError("Invalid CRC"))
            await until(lambda offset=offset: len(scene.sought) == offset + 2)
            await folding(partition)
            scene.fetched(partition, [offset], start=offset)
            await until(lambda offset=offset: partition.folded_offset == offset + 1)
    assert partition.state is State.FOLDING


async def test_a_message_of_another_version_stops_only_its_partition(scene: Scene) -> None:
    partition = scene.partition()
    async with living(partition) as its_end:
        await folding(partition)

        async def refuse(batch: RecordBatch) -> Sequence[Rejection]:
            raise UnknownVersionError("version 2")

        scene.folds[0].take = refuse  # type: ignore[method-assign]
        scene.fetched(partition, [0], start=0)
        await asyncio.wait_for(its_end, WITHIN_S)
    assert (partition.state, partition.why) == (State.STOPPED, "version 2")


async def test_a_revoked_partition_writes_what_it_folded_and_ends(scene: Scene) -> None:
    partition = scene.partition()
    async with living(partition) as its_end:
        await folding(partition)
        await scene.fold(partition, [0, 1])
        assert partition.flushed_offset == 0
        partition.revoke()
        await asyncio.wait_for(its_end, WITHIN_S)
    assert partition.state is State.REVOKED
    assert scene.position["next"] == "2"


async def test_it_is_hungry_only_while_it_folds_and_has_room(scene: Scene) -> None:
    partition = scene.partition()
    assert not partition.is_hungry
    async with living(partition):
        await folding(partition)
        assert partition.is_hungry
        values = [(n, b"x" * 1_000) for n in range(1_000)]
        partition.hand(batch_of("quotes", 0, values, life=scene.sought[-1][1]))
        assert not partition.is_hungry
        await until(lambda: partition.folded_offset == 1_000)
        assert partition.is_hungry


async def test_an_error_that_a_new_claim_cannot_fix_ends_the_task(scene: Scene) -> None:
    partition = scene.partition()
    with structlog.testing.capture_logs():
        async with living(partition) as its_end:
            await folding(partition)

            async def broken(batch: RecordBatch) -> Sequence[Rejection]:
                raise OSError("broken")

            scene.folds[0].take = broken  # type: ignore[method-assign]
            scene.fetched(partition, [0], start=0)
            await until(its_end.done)
    assert isinstance(its_end.exception(), OSError)


async def test_a_partition_with_an_unreachable_store_does_not_delay_others() -> None:
    away, fine = Scene(), Scene()
    scenes = {0: away, 1: fine}
    failures: list[BaseException] = []
    partitions = AssignedPartitions(
        lambda tp: scenes[tp.partition].partition(tp.partition), ["quotes"], failures.append
    )
    away.turns.held = asyncio.Event()
    with structlog.testing.capture_logs():
        partitions.begin({TP("quotes", 0), TP("quotes", 1)})
        await until(lambda: fine.sought)
        await until(lambda: partitions.hungry() == {TP("quotes", 1)})
        batch = batch_of("quotes", 1, [(0, b"")], life=fine.sought[-1][1])
        partitions.hand(batch)
        other = next(p for p in partitions if p.tp.partition == 1)
        await until(lambda: other.folded_offset == 1)
        tick(fine, other)
        await until(lambda: fine.data[KEYSPACE.position(QUOTES, 1)].get("next") == "1")
        # What cannot be written in time stays unwritten.
        await partitions.revoke({TP("quotes", 0), TP("quotes", 1)}, within_s=0.01)
    assert (list(partitions), failures) == ([], [])


async def test_no_partition_is_hungry_while_code_is_loaded_or_all_together_hold_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assigned, "HELD_BYTES_MAX", 500)
    scenes = [Scene(), Scene()]
    partitions = AssignedPartitions(
        lambda tp: scenes[tp.partition].partition(tp.partition), ["quotes"], lambda _: None
    )
    both = {TP("quotes", 0), TP("quotes", 1)}
    partitions.begin(both)
    await until(lambda: partitions.hungry() == both)
    with monkeypatch.context() as patch:
        patch.setattr(CODE, "is_loading", True)
        assert partitions.hungry() == set()
    scenes[1].turns.held = asyncio.Event()  # it is being folded, and its flush waits
    tick(scenes[1], next(p for p in partitions if p.tp.partition == 1))
    partitions.hand(batch_of("quotes", 1, [(0, bytes(500))], life=scenes[1].sought[-1][1]))
    assert partitions.hungry() == set()
    scenes[1].turns.held.set()
    await until(lambda: partitions.hungry() == both)
    await partitions.revoke(both, within_s=0.01)


async def test_a_partition_that_cannot_continue_is_reported_so_that_the_process_can_end() -> None:
    scene, failures = Scene(), list[BaseException]()
    partitions = AssignedPartitions(lambda _: scene.partition(), ["quotes"], failures.append)

    def fail() -> None:
        raise OSError("broken")

    scene.before_bounds = fail
    with structlog.testing.capture_logs() as logs:
        partitions.begin({TP("quotes", 0)})
        await until(lambda: failures)
    assert [str(error) for error in failures] == ["broken"]
    assert [entry["partition"] for entry in logs] == ["quotes/0"]


async def test_a_worker_reports_how_many_partitions_it_has_even_none() -> None:
    def assigned() -> float | None:
        return REGISTRY.get_sample_value("partitions_assigned", {"topic": "quotes"})

    scene = Scene()
    partitions = AssignedPartitions(lambda tp: scene.partition(), ["quotes"], lambda _: None)
    assert assigned() == 0
    partitions.begin({TP("quotes", n) for n in range(3)})
    assert assigned() == 3
    await partitions.revoke({TP("quotes", n) for n in (0, 1, 7)})
    assert assigned() == 1
    await partitions.revoke({TP("quotes", 2)})
    assert assigned() == 0


def begun_anew(why: str) -> float:
    labels = {"topic": "quotes", "why": why}
    return REGISTRY.get_sample_value("partitions_begun_anew_total", labels) or 0.0
