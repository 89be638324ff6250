"""What histories publish, in messages that Kafka takes, what they read, and how they are stored.

`test_folds` shows that they are those of the log.
"""

import asyncio
import math
from collections import Counter, defaultdict
from typing import cast, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from contracts.affinities import AffinityName, binary, weighted
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
from contracts.log_position import mark
from contracts.messages import Interaction, Rejection
from contracts.partitioning import instrument_partition, row_of
from contracts.times import DAY_MS
from contracts.tombstones import Tombstone
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.topology import Topology
from stream_processors.decoding import interactions, placement
from stream_processors.decoding.placement import ItemPartitions
from stream_processors.histories import fold, scaled_fold
from stream_processors.histories import histories as histories_module
from stream_processors.histories import history as history_module
from stream_processors.histories.fold import Change, Leaving
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.history import ENTRY, SCALED_ENTRY, History, HistoryCache
from stream_processors.histories.outgoing import MESSAGE_BYTES, PAIR_BYTES, messages
from stream_processors.histories.rules import rules_of
from stream_processors.histories.scaled_fold import InverseDegree, MeanValue, fold_scaled_event
from stream_processors.histories.stored import history_commands, history_of
from stream_processors.settings import Settings
from stream_processors.store.chunks import Group, command
from stream_processors.transport import producer
from tests.chaos.modes import UserWeight
from tests.examples import examples
from tests.oracles.gram import gram_of_histories, stored_once
from tests.stream_processors.folding import (
    BINARY,
    KEYSPACE,
    InMemoryClaim,
    InMemoryProducer,
    UserEvent,
    batch_of,
    batch_of_events,
    decoding,
    flush,
    fold_of_interactions,
    groups_of,
    histories_in_memory,
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


async def test_histories_in_memory_are_not_read_again() -> None:
    data: Hashes = {}
    histories, claim = histories_in_memory(data)
    log = [Interaction(user_id=user, instrument_id=item, ts=0) for item in (1, 2) for user in "AB"]
    for at in range(len(log)):
        await histories.take(batch_of_events(log, at, at + 1))
        await flush(histories, claim)
    assert claim.reads == 2 + 1, "and whether any user was erased"


async def test_a_tombstone_without_a_user_is_rejected() -> None:
    histories, _ = histories_in_memory({})
    values = batch_of(INTERACTIONS.name, 0, [(0, None), (1, None, b"\xff")])
    rejections = await histories.take(values)
    assert [place for place, _ in rejections] == [0, 1]
    assert isinstance(rejections[0], Rejection)
    assert "no key that names the user" in rejections[0].reason


async def test_marks_carry_the_logs_incarnation_and_no_record_is_folded_twice() -> None:
    data: Hashes = {}
    claim = InMemoryClaim(data, INTERACTIONS, incarnation=3)
    histories = HistoriesFold(claim.as_claim(), InMemoryProducer(), Topology(1, 1, 1), BINARY)
    records = batch_of_events([Interaction(user_id="A", instrument_id=1, ts=0)], 0, 1)
    for is_new in (True, False):
        await histories.take(decoding(interactions.decode, 1)(records)[0])
        assert bool(histories._cache.changed) == is_new
        await flush(histories, claim)
    assert data[KEYSPACE.history(0, "A")]["off"] == "[3,0]"
    assert histories._cache.get("A").mark == mark(3, 0)


async def test_longer_histories_mean_fewer_records_per_batch() -> None:
    histories, _ = histories_in_memory({})
    at_once = [histories.records_at_once]
    short = [Interaction(user_id=str(user), instrument_id=0, ts=0) for user in range(1_000)]
    log = [*short, *(Interaction(user_id="A", instrument_id=item, ts=0) for item in range(400))]
    at = 0
    while at < len(log):
        end = min(len(log), at + min(at_once[-1], 50))
        await histories.take(batch_of_events(log, at, end))
        at = end
        at_once.append(histories.records_at_once)
    rows = histories_module._ROWS_UNPUBLISHED
    assert at_once[0] == round(rows / (2 * 500))
    assert max(at_once) == histories_module._RECORDS_AT_ONCE.stop
    assert rows / 400 < at_once[-1] < rows / 300


async def test_a_fold_is_full_when_many_rows_are_unpublished_or_many_items_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = [Interaction(user_id="A", instrument_id=item, ts=0) for item in range(3)]
    for name, bound in (("_ROWS_UNPUBLISHED", 1 + 2 + 3), ("_ITEMS_CACHED", 16)):
        with monkeypatch.context() as patch:
            patch.setattr(histories_module, name, bound)
            histories, claim = histories_in_memory({})
            assert not histories.is_full
            await histories.take(batch_of_events(log, 0, 3))
            assert histories.is_full
            await flush(histories, claim)
            assert not histories.is_full


def test_the_least_recently_changed_history_is_forgotten_first() -> None:
    cache = HistoryCache(2 * (history_module._OVERHEAD + 1))
    for user, unknown in (("A", "BCD"), ("B", "CD"), ("C", "AD"), ("B", "AD"), ("D", "AC")):
        if user in cache.unknown("ABCD"):
            cache.insert(user, History(np.zeros(1, ENTRY)))
        cache.change(user)
        cache.settle()
        assert cache.unknown("ABCD") == list(unknown)


KEY = KEYSPACE.history(0, "A")
ids = st.integers(0, 2**63 - 1)
stored_times = st.integers(0, 2**50)
floats = st.floats(1e-300, 1e300) | st.integers(1, 2**60).map(float)
plain_entries = st.tuples(ids, floats, stored_times, stored_times)
scaled_entries = st.tuples(
    ids, floats, stored_times, stored_times, floats, floats, st.integers(0, 9)
)


def history(entries: list[tuple[float, ...]], *, scaled: bool, at: int = 7) -> History:
    rows = np.array(entries, SCALED_ENTRY if scaled else ENTRY)
    its = History(rows, at)
    its.touched = {int(item) for item in rows["item"]}
    return its


def reread(data: Hashes, *, scaled: bool) -> History:
    claim = InMemoryClaim(data, INTERACTIONS)
    return history_of(claim.execute(Group(KEY, command("HGETALL", [])))[0], scaled=scaled)


def write(data: Hashes, its: History) -> None:
    InMemoryClaim(data, INTERACTIONS).execute(Group(KEY, history_commands("A", its)))


@given(
    entries=st.lists(plain_entries, unique_by=lambda entry: entry[0], max_size=6)
    | st.lists(scaled_entries, unique_by=lambda entry: entry[0], max_size=6)
)
def test_a_history_is_read_back_as_it_was_written(entries: list[tuple[float, ...]]) -> None:
    scaled = bool(entries) and len(entries[0]) > len(ENTRY)
    written = history(entries, scaled=scaled, at=mark(2, 9))
    stored: Hashes = {}
    write(stored, written)
    read = reread(stored, scaled=scaled)
    assert read.mark == mark(2, 9)
    # The values of an item without any are not written.
    expected = [e if len(e) == 4 or e[-1] else (*e[:-2], e[-2], 0) for e in entries]
    assert sorted(read.entries.tolist()) == sorted(expected)
    last = {"A": str(max(e[2] for e in entries))} if entries else {}
    assert stored.get(KEYSPACE.active(0), {}) == last


@pytest.mark.parametrize(
    ("affinity", "text"),
    [(1.0, "1"), (0.5, "0.5"), (2.0**53 - 1, "9007199254740991"), (2.0**53, "9007199254740992.0"),
     (2.0**70, "1.1805916207174113e21")],
)  # fmt: skip
def test_only_whole_numbers_below_2_to_the_53_are_written_as_ints(
    affinity: float, text: str
) -> None:
    data: Hashes = {}
    write(data, history([(4, affinity, 0, 0)], scaled=False))
    assert data[KEY]["4"] == f'{{"r":{text},"t":0}}'
    assert msgspec.json.decode(data[KEY]["4"])["r"] == affinity


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_while_a_history_grows_no_item_lags_behind_by_more_than_half_its_length(
    exponent: float,
) -> None:
    history, cap, weight = History.empty(scaled=True), 500, InverseDegree(exponent)
    for n in range(1, 400):
        fold_scaled_event(history, 9, n, 1, n, math.nan, cap, binary, weight)
        assert history.entries["scale"].max() <= (n / 2) ** -exponent


@pytest.mark.parametrize(
    ("values", "scale"),
    [([], 1.0), ([math.nan], 1.0), ([20.0, 60.0], 2.0), ([math.inf], 10.0), ([1e-300], 0.1)],
)
def test_a_users_value_is_the_mean_relative_to_the_typical_one_within_bounds(
    values: list[float], scale: float
) -> None:
    history, weight = History.empty(scaled=True), MeanValue(1 / 3, 5.0)
    history.add(1, 1.0, 0)
    for value in values:
        weight.note(history, 0, value)
    assert weight.scale(history) == pytest.approx(scale)


def test_the_shortest_allowed_half_life_overflows_no_sum_until_2038() -> None:
    shortest = next(m.ge for m in Settings.model_fields["half_life_days"].metadata)
    one_event = weighted(shortest)(0.0, BUILT_IN["trade"], 2_145_916_800_000)
    users_x_events = 1e8 * 1e3
    assert math.isfinite(one_event * one_event * users_x_events)
