"""Each registered fold writes what its module in `tests/chaos/truth` computes, however workers end.

Bad records become dead letters, and bars whose minute is closed are published. A new fold enters by
being in `FOLDS`.
"""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from typing import Any, Final, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import AffinityName
from contracts.event_types import BUILT_IN
from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.keyspace import (
    CHUNK_FIELD_PREFIX,
    CLOSED_FIELD,
    EPOCH_FIELD,
    NEWEST_FIELD,
    REVISED_FIELD,
)
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import partition_of
from contracts.times import DAY_MS, MINUTE_MS
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES, Topic
from contracts.trending import BUCKETS_S
from runtime.topology import Topology
from stream_processors.agents import FOLDS, Resources, rules_of_topics
from stream_processors.bars import table
from stream_processors.partition.fold import Folds
from stream_processors.settings import Settings
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.producer import Outgoing, Producer
from tests.chaos.log import Log, Record
from tests.chaos.modes import USUAL, Mode, UserWeight
from tests.chaos.truth.closed_bars import wrong_closed_bars
from tests.chaos.truth.expected import Run, compared_values, differences, expected_values
from tests.examples import examples
from tests.stream_processors.folding import KEYSPACE
from tests.stream_processors.simulated_store import Hashes
from tests.stream_processors.simulation import Plan, World, plans, play

pytestmark = pytest.mark.usefixtures("in_small_steps")

TOPOLOGY: Final = Topology(quotes=1, interactions=2, cooccurrences=2, instruments=1)
NOW_MS: Final = time.time_ns() // 1_000_000
LOG: Final = Log("never asked")

Logged = tuple[bytes | None, bytes | None, Any]
"""a record: key, value and headers"""
ids = st.sampled_from([0, 1, 7, 2**63 - 1])
users = st.sampled_from("ABC")
edges = [NOW_MS // (1000 * s) * 1000 * s - ms for s in BUCKETS_S for ms in (0, 1)]
in_a_minute = st.sampled_from([0, 1, 20_000])
times = st.sampled_from(edges) | st.builds(
    lambda k, ms: NOW_MS - k * MINUTE_MS - ms, st.integers(0, 9), in_a_minute
)
sizes = st.sampled_from([0.25, 1.0, 2.5])
"""Their sums are exact in any order."""


def published(message: Quote | Interaction) -> Logged:
    return key_of(message), encode(message), ()


def described(instrument_id: int, name: str | None) -> Logged:
    value = name and encode_instrument(Instrument(instrument_id, symbol="I", name=name))
    return instrument_key(instrument_id), value or None, ()


def removed(tombstone: Tombstone) -> Logged:
    key, headers = encode_tombstone(tombstone)
    return key, None, headers


quotes = st.builds(Quote, instrument_id=ids, price=sizes, size=sizes, ts=times)
types = st.sampled_from(list(BUILT_IN))
prices = st.none() | sizes
event_times = times | st.integers(1, 300).map(lambda days: NOW_MS - days * DAY_MS)
"""Within a year, after which erasures are forgotten."""
events = st.builds(
    Interaction, user_id=users, instrument_id=ids, event=types, price=prices, ts=event_times
)
removals = st.builds(Tombstone, users, *[st.none() | event_times] * 2)
INVALID: Final = b"{}"
invalid = st.just((b"1", INVALID, ()))
RECORDS: Final = {
    (QUOTES,): quotes.map(published) | invalid,
    (INTERACTIONS, COOCCURRENCES): events.map(published) | removals.map(removed) | invalid,
    (INSTRUMENTS,): st.builds(described, ids, st.none() | st.sampled_from(["one", "other"]))
    | invalid,
}
"""Of the first topic: the second one's are published by its folds."""
modes = st.builds(
    Mode,
    affinity=st.sampled_from(get_args(AffinityName)),
    user_weight=st.sampled_from(get_args(UserWeight)),
)
retentions = st.sampled_from([1, 5, 60])
caps = st.sampled_from([1, 2, 500])


def settings_of(mode: Mode = USUAL, retention: int = 60, cap: int = 500) -> Settings:
    its = {name.lower(): value for name, value in mode.environment().items()}
    return Settings(**its | {"bars_retention_minutes": retention, "history_cap": cap})  # type: ignore[arg-type]


Past = dict[str, tuple[int, dict[int, str]]]
"""key of an instrument -> the minute where its newest hour begins, and its bars before"""


class Watch:
    """Bars of past hours stay while the position says so, and no flush is unfinished."""

    def __init__(self, retention: int) -> None:
        self._retention = retention
        self.seen: dict[str, Past] = defaultdict(dict)

    def look(self, data: Hashes) -> None:
        position = data.get(KEYSPACE.position(QUOTES, 0), {})
        revised, epoch = position.get(REVISED_FIELD, ""), position.get(EPOCH_FIELD)
        unfinished = {f"{CHUNK_FIELD_PREFIX}{n}" for n in (1, 2)} & position.keys()
        if unfinished or not revised.startswith(f"{epoch}:"):
            return
        seen = self.seen[revised]
        for key, bars in data.items():
            if ":bars:" in key and bars:
                newest = int(bars[NEWEST_FIELD]) // 60
                minutes = {int(f) // 60: value for f, value in bars.items() if f != NEWEST_FIELD}
                hour = newest // table._HOUR_MINUTES * table._HOUR_MINUTES
                end, past = seen.setdefault(key, (hour, minutes))
                for minute in range(newest - self._retention + 1, end):
                    assert minutes.get(minute) == past.get(minute)


def wrong_values(
    topics: Sequence[Topic],
    log: Sequence[Logged],
    plan: Plan,
    settings: Settings,
    mode: Mode = USUAL,
) -> list[str]:
    """Return how store and topics differ from what is computed of the log, once that is folded."""

    def folds(topic: Topic, claim: Claim, store: Store, producer: Producer) -> Folds[Any]:
        resources = Resources(settings, TOPOLOGY, store, producer)
        return rules_of_topics(resources)[topic.name].make_folds(claim)

    make = {topic: partial(folds, topic) for topic in topics}
    watch = Watch(settings.bars_retention_minutes)
    world = World(sizes=cycle(plan.sizes), make=cast("Any", make), look=watch.look)
    for key, value, headers in log:
        place = topics[0].name, partition_of(key or b"", TOPOLOGY.of(topics[0]))
        world.logs[place].append(Outgoing(key, value, headers))
    partitions = [(topic, p) for topic in topics for p in range(TOPOLOGY.of(topic))]
    play(world, partitions, plan)
    LOG.records = defaultdict(list)
    for place, records in world.logs.items():
        for n, (key, value, headers) in enumerate(records):
            LOG.records[place].append(Record(n, value, dict(headers), key, stamp_ms=NOW_MS))
    stored = (
        (key, {name: json.loads(value or "true") for name, value in fields.items()})
        for key, fields in world.data.items()
        if ":position:" not in key
    )
    minutes, cap = settings.bars_retention_minutes, settings.history_cap
    run = Run(LOG, KEYSPACE, TOPOLOGY, mode, retention_minutes=minutes, cap=cap)
    wrong = list(differences(expected_values(run), compared_values(stored)))
    if QUOTES in topics:
        assert watch.seen
        closed_s = int(world.data[KEYSPACE.position(QUOTES, 0)][CLOSED_FIELD])
        wrong += wrong_closed_bars(LOG, 0, closed_s, minutes)
    return [*wrong, *wrong_dead_letters(world, partitions)]


def wrong_dead_letters(world: World, partitions: Sequence[tuple[Topic, int]]) -> list[str]:
    found = {(one["topic"], one["partition"], one["offset"]) for one in world.dead_letters()}
    bad = {
        (topic.name.encode(), b"%d" % p, b"%d" % offset)
        for topic, p in partitions
        for offset, (_, value, _) in enumerate(world.logs[topic.name, p])
        if value == INVALID
    }
    return [f"{one}: is a dead letter or should be" for one in found ^ bad]


@pytest.mark.parametrize("topics", RECORDS, ids=lambda topics: topics[0].name)
@examples(300)
@given(data=st.data(), plan=plans, mode=modes, retention=retentions, cap=caps)
def test_the_store_has_what_is_computed_of_the_log_however_workers_end(
    topics: Sequence[Topic], data: st.DataObject, plan: Plan, mode: Mode, retention: int, cap: int
) -> None:
    log = data.draw(st.lists(RECORDS[topics], min_size=1, max_size=25))
    assert wrong_values(topics, log, plan, settings_of(mode, retention, cap), mode) == []


def test_every_topic_is_simulated() -> None:
    assert {topic for topics in RECORDS for topic in topics} == FOLDS.keys()
