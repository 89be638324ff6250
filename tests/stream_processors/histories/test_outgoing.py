"""The changes of G that histories publish, in every mode, in messages that Kafka accepts.

`test_folds` shows that the histories are those of the log.
"""

import asyncio
import math
from collections import Counter, defaultdict
from typing import cast, get_args

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from contracts.affinities import AffinityName
from contracts.changes import (
    EVENT_BYTES,
    ROW_BYTES,
    Blocks,
    Changes,
    TakenOut,
    decode_changes,
    encode_changes,
)
from contracts.event_types import BUILT_IN
from contracts.messages import Interaction
from contracts.partitioning import instrument_partition, row_of
from contracts.times import DAY_MS
from contracts.tombstones import Tombstone
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.topology import Topology
from stream_processors.decoding import placement
from stream_processors.decoding.placement import ItemPartitions
from stream_processors.histories import fold, scaled_fold
from stream_processors.histories import histories as histories_module
from stream_processors.histories.fold import Change, Leaving
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.outgoing import MESSAGE_BYTES, PAIR_BYTES, messages
from stream_processors.histories.rules import rules_of
from stream_processors.histories.stored import history_of
from stream_processors.settings import Settings
from stream_processors.store.chunks import Group, command
from stream_processors.transport import producer
from tests.chaos.modes import UserWeight
from tests.examples import examples
from tests.oracles.gram import gram_of_histories, stored_once
from tests.stream_processors.folding import (
    KEYSPACE,
    InMemoryClaim,
    InMemoryProducer,
    UserEvent,
    batch_of_events,
    fold_of_interactions,
    groups_of,
)
from tests.stream_processors.simulated_store import Hashes

_OF_A_RECORD = 100
"""Overhead of a record in Kafka's format, in bytes."""
PARTITIONS = 3
TOPOLOGY = Topology(quotes=1, interactions=1, cooccurrences=PARTITIONS)
START_MS = 1_750_000_000_000

users = st.sampled_from("AB")
items = st.integers(0, 5)
times = st.integers(0, 40).map(lambda day: START_MS + day * DAY_MS)
"""Unordered, so that events are late; on few days, so that some tie."""
events = st.builds(
    Interaction,
    user_id=users,
    instrument_id=items,
    event=st.sampled_from(list(BUILT_IN)),
    # Quarters have exact sums, which break ties between equally distant scales.
    price=st.none() | st.integers(1, 4_000).map(lambda quarters: quarters / 4),
    ts=times,
)
modes = st.builds(
    Settings,
    affinity=st.sampled_from(get_args(AffinityName)),
    user_weight=st.sampled_from(get_args(UserWeight)),
    user_weight_exponent=st.sampled_from([0.5, 1.0]),
    half_life_days=st.sampled_from([14.0, 60.0]),
    history_cap=st.sampled_from([1, 2, 3, 500]),
    typical_value=st.just(50.0),
)
tombstones = st.builds(Tombstone, users, *[st.none() | times] * 2)
Entries = dict[tuple[int, int], list[float]]
"""i, j -> deltas"""


def entries_of(changes: Changes) -> dict[int, Entries]:
    """Return by offset the entries of G that a message changes."""
    found: dict[int, Entries] = defaultdict(lambda: defaultdict(list))
    for blocks, is_own in ((changes.own, True), (changes.mirrored, False)):
        offset, item = (column.repeat(blocks.rows) for column in (blocks.offset, blocks.item))
        columns = (column.tolist() for column in (offset, item, blocks.other, blocks.delta))
        for at, its, other, delta in zip(*columns, strict=True):
            found[at][(its, other) if is_own else (other, its)].append(delta)
    for one in changes.taken_out:
        for i, r_i in zip(one.i.tolist(), one.r_i.tolist(), strict=True):
            for j, r_j in zip(one.j.tolist(), one.r_j.tolist(), strict=True):
                if row_of(i, j) == i:
                    found[one.offset][i, j].append(-r_i * r_j)
    return {offset: {of: sorted(its) for of, its in one.items()} for offset, one in found.items()}


def holders_of(changes: Changes) -> Counter[tuple[int, int]]:
    """Return by offset and item how many more users have it."""
    own, found = changes.own, Counter[tuple[int, int]]()
    if own.holders is not None:
        columns = own.offset.tolist(), own.item.tolist(), own.holders.tolist()
        for offset, item, n in zip(*columns, strict=True):
            found[offset, item] += n
    for one in changes.taken_out:
        for item, affinity in zip(one.i.tolist(), one.r_i.tolist(), strict=True):
            found[one.offset, item] -= affinity > 0
    return found


def sizes_of(changes: Changes) -> Counter[int]:
    """Return each offset's share of a message, at the widest numbers."""
    sizes = Counter[int]()
    for blocks in (changes.own, changes.mirrored):
        assert (np.diff(blocks.offset) >= 0).all()
        for offset, rows in zip(blocks.offset.tolist(), blocks.rows.tolist(), strict=True):
            sizes[offset] += EVENT_BYTES + ROW_BYTES * rows
    for one in changes.taken_out:
        sizes[one.offset] += EVENT_BYTES + ROW_BYTES * (len(one.i) + len(one.j))
        sizes[one.offset] += PAIR_BYTES * len(one)
    return sizes


class Publishing(RuleBasedStateMachine):
    """Users act and leave, and their histories are folded, published, written or lost.

    A crash loses memory, and any groups of the flush before; the log is read from the position on.
    """

    @initialize(
        settings=modes,
        cached=st.sampled_from([0, 40, 10_000]),
        enough_bytes=st.integers(1, 300),
    )
    def begin(self, settings: Settings, cached: int, enough_bytes: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(histories_module, "_ITEMS_CACHED", cached)
        self.history_rules = rules_of(settings)
        self.enough_bytes = enough_bytes
        self.log: list[UserEvent] = []
        self.data: Hashes = {}
        self.producer = InMemoryProducer()
        self.entries: list[dict[int, Entries]] = [{} for _ in range(PARTITIONS)]
        self.holders: list[dict[tuple[int, int], int]] = [{} for _ in range(PARTITIONS)]
        self.position = 0
        self.start()

    def start(self) -> None:
        self.at = self.position
        self.last = [-1] * PARTITIONS
        self.claim = InMemoryClaim(self.data, INTERACTIONS)
        self.fold = fold_of_interactions(
            self.claim.as_claim(),
            self.producer,  # type: ignore[arg-type]
            TOPOLOGY,
            self.history_rules,
        )
        cast("HistoriesFold", self.fold._folds[0])._enough_bytes = self.enough_bytes

    @rule(events=st.lists(events, min_size=1, max_size=2) | tombstones.map(lambda one: [one]))
    def act(self, events: list[UserEvent]) -> None:
        self.log += events

    @rule()
    def send_an_invalid_record(self) -> None:
        self.log.append(None)

    @rule(n=st.integers(1, 9))
    def take(self, n: int) -> None:
        end = min(self.at + n, len(self.log))
        rejections = asyncio.run(self.fold.take(batch_of_events(self.log, self.at, end)))
        bad = [n for n, record in enumerate(self.log[self.at : end]) if record is None]
        assert [place for place, _ in rejections] == bad
        self.at = end

    @rule(n=st.integers(0, 9))
    def flush(self, n: int) -> None:
        self.take(n)
        self.claim.write(self.published())
        self.fold.written()
        self.position = self.at

    @rule(n=st.integers(0, 9), written=st.integers(0, 63))
    def lose_a_flush(self, n: int, written: int) -> None:
        """The bits say which groups a failover kept."""
        self.take(n)
        groups = self.published()
        self.claim.write(group for n, group in enumerate(groups) if written >> n & 1)
        self.start()

    def published(self) -> list[Group]:
        """Publish; return what is to be written."""
        groups = asyncio.run(groups_of(asyncio.run(self.fold.unwritten())))
        for partition in range(PARTITIONS):
            records = self.producer.logs.pop((COOCCURRENCES.name, partition), [])
            every = [decode_changes(record.value) for record in records]
            for nth, changes in enumerate(every):
                self.note(partition, changes, is_last=nth == len(every) - 1)
        return groups

    def note(self, partition: int, changes: Changes, *, is_last: bool) -> None:
        """Check a message, and that what was published before is the same again."""
        sizes = sizes_of(changes)
        first, last = min(sizes), max(sizes)
        assert first > self.last[partition], "an offset is in one message, in ascending order"
        self.last[partition] = last
        assert is_last or sum(sizes.values()) >= self.enough_bytes
        assert sum(sizes.values()) - sizes[last] < self.enough_bytes
        assert (
            changes.own.holders is not None
        ) == self.history_rules.counts_holders or not changes.own
        assert changes.mirrored.holders is None
        for offset, entries in entries_of(changes).items():
            assert self.entries[partition].setdefault(offset, entries) == entries
            assert all(row_of(*of) == of[0] for of in entries)
            assert all(instrument_partition(i, PARTITIONS) == partition for i, _ in entries)
        for of, n in holders_of(changes).items():
            assert self.holders[partition].setdefault(of, n) == n

    def stored(self) -> list[dict[int, float]]:
        """Return users' items that are not rejected."""
        hashes = [Group(KEYSPACE.history(0, user), command("HGETALL", [])) for user in "AB"]
        is_scaled = self.history_rules.is_scaled
        found = [history_of(self.claim.execute(one)[0], scaled=is_scaled) for one in hashes]
        return [{item: r for item, r, *_ in its.entries.tolist() if r > 0} for its in found]

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        self.flush(len(self.log))
        self.patch.undo()
        histories, deltas = self.stored(), defaultdict[tuple[int, int], list[float]](list)
        for of_offset in self.entries:
            for entries in of_offset.values():
                for of, some in entries.items():
                    deltas[of] += some
        expected = stored_once(gram_of_histories(histories))
        assert expected.keys() <= deltas.keys()
        for of, some in deltas.items():
            near = 1e-9 * max(map(abs, some)) if self.history_rules.counts_holders else 0.0
            assert abs(math.fsum(some) - expected.get(of, 0.0)) <= near
        if self.history_rules.counts_holders:
            found = Counter[int]()
            for its in self.holders:
                for (_, item), n in its.items():
                    found[item] += n
            assert +found == Counter(item for its in histories for item in its)


TestPublishing = Publishing.TestCase
TestPublishing.settings = examples(400, stateful_step_count=30)


def test_leaving_users_share_a_message_only_as_far_as_its_reader_can_handle_their_pairs() -> None:
    items, ones = np.arange(500), np.ones(500)
    log: list[Change | Leaving] = [Leaving(offset, items, ones) for offset in range(20)]
    (sent,) = messages(log, ItemPartitions(1), MESSAGE_BYTES, counts_holders=False)
    pairs = [sum(map(len, one.taken_out)) for one in sent]
    assert sum(pairs) == 20 * 500 * 501 / 2
    assert max(pairs) == 2 * 500 * 501 / 2


@pytest.mark.parametrize("cap", [1, 500, 5_000])
@pytest.mark.parametrize("changes", [fold.CHANGES_AN_EVENT, scaled_fold.CHANGES_AN_EVENT])
def test_a_message_of_the_widest_numbers_is_below_the_limit(cap: int, changes: int) -> None:
    greatest_event = changes * (2 * EVENT_BYTES + ROW_BYTES * cap)
    n = max(MESSAGE_BYTES, greatest_event) // (EVENT_BYTES + ROW_BYTES)
    wide, ones = np.full(n, 2**62), np.ones(n, np.int64)
    blocks = Blocks(np.arange(n) << 34, wide, ones, wide, np.full(n, 0.1), holders=-ones)
    message = encode_changes(Changes(7, 9, 2**52, blocks, Blocks.none()))
    assert len(message) + _OF_A_RECORD < producer._MAX_REQUEST_BYTES


def test_a_user_with_the_longest_history_leaves_in_one_message() -> None:
    wide, floats = np.full(5_000, 2**62), np.full(5_000, 0.1)
    one = TakenOut(2**48, wide, floats, wide, floats)
    message = encode_changes(Changes(7, 9, 2**52, Blocks.none(), Blocks.none(), [one]))
    assert len(message) + _OF_A_RECORD < producer._MAX_REQUEST_BYTES


def test_items_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_ITEMS_AT_MOST", 10)
    partitions = ItemPartitions(PARTITIONS)
    for first in range(0, 200, 3):
        items = np.arange(first, first + 6)
        expected = [instrument_partition(item, PARTITIONS) for item in items.tolist()]
        assert partitions.of(items).tolist() == expected
        assert len(partitions._index) == len(partitions._partition) <= 10 + len(items)
