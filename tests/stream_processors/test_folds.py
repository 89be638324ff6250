"""Each registered fold writes what its module in `tests/chaos/truth` computes, however workers end.

A new fold enters by being in `FOLDS`.
"""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event_types import BUILT_IN
from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import partition_of
from contracts.times import MINUTE_MS
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES, Topic
from contracts.trending import BUCKETS_S
from runtime.topology import Topology
from stream_processors.agents import FOLDS, Resources, rules_of_topics
from stream_processors.partition.fold import Folds
from stream_processors.settings import Settings
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.producer import Producer
from tests.chaos.log import Log, Record
from tests.chaos.stored import differences
from tests.chaos.truth.expected import Run, compared_values, expected_values
from tests.examples import examples
from tests.stream_processors.simulation import KEYSPACE, Plan, World, plans, play

pytestmark = pytest.mark.usefixtures("in_small_steps")

TOPOLOGY: Final = Topology(quotes=1, interactions=2, cooccurrences=2, instruments=1)
NOW_MS: Final = time.time_ns() // 1_000_000
LOG: Final = Log("never asked")

Logged = tuple[bytes | None, bytes | None, Any]
"""a record: key, value and headers"""
ids = st.sampled_from([0, 1, 7, 2**63 - 1])
users = st.sampled_from("ABC")
edges = [NOW_MS // (1000 * s) * 1000 * s - ms for s in BUCKETS_S for ms in (0, 1)]
times = st.integers(0, 9).map(lambda k: NOW_MS - k * MINUTE_MS) | st.sampled_from(edges)
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
events = st.builds(
    Interaction, user_id=users, instrument_id=ids, event=types, price=prices, ts=times
)
removals = st.builds(Tombstone, users, st.none() | times, st.none() | times)
invalid = st.just((b"1", b"{}", ()))
RECORDS: Final = {
    (QUOTES,): quotes.map(published) | invalid,
    (INTERACTIONS, COOCCURRENCES): events.map(published) | removals.map(removed) | invalid,
    (INSTRUMENTS,): st.builds(described, ids, st.none() | st.sampled_from(["one", "other"]))
    | invalid,
}
"""Of the first topic: the second one's are published by its folds."""
settings = st.builds(
    Settings,
    bars_retention_minutes=st.sampled_from([1, 5, 60]),
    history_cap=st.sampled_from([1, 2, 500]),
)


def wrong_values(
    topics: Sequence[Topic], log: Sequence[Logged], plan: Plan, settings: Settings
) -> list[str]:
    """Return how the store differs from what is computed of the log, once that is folded."""

    def folds(topic: Topic, claim: Claim, store: Store, producer: Producer) -> Folds[Any]:
        resources = Resources(settings, TOPOLOGY, store, producer)
        return rules_of_topics(resources)[topic.name].make_folds(claim)

    make = {topic: partial(folds, topic) for topic in topics}
    world = World(sizes=cycle(plan.sizes), make=cast("Any", make))
    for key, value, headers in log:
        place = topics[0].name, partition_of(key or b"", TOPOLOGY.of(topics[0]))
        world.record_headers[*place, len(world.logs[place])] = headers
        world.logs[place].append((key, value))
    play(world, [(topic, p) for topic in topics for p in range(TOPOLOGY.of(topic))], plan)
    LOG.records = defaultdict(list)
    for place, records in world.logs.items():
        for n, (key, value) in enumerate(records):
            its = dict(world.record_headers.get((*place, n), ()))
            LOG.records[place].append(Record(n, value, its, key, stamp_ms=NOW_MS))
    stored = (
        (key, {name: json.loads(value or "true") for name, value in fields.items()})
        for key, fields in world.data.items()
        if ":position:" not in key
    )
    minutes, cap = settings.bars_retention_minutes, settings.history_cap
    run = Run(LOG, KEYSPACE, TOPOLOGY, retention_minutes=minutes, cap=cap)
    return list(differences(expected_values(run), compared_values(stored)))


@pytest.mark.parametrize("topics", RECORDS, ids=lambda topics: topics[0].name)
@examples(300)
@given(data=st.data(), plan=plans, settings=settings)
def test_the_store_has_what_is_computed_of_the_log_however_workers_end(
    topics: Sequence[Topic], data: st.DataObject, plan: Plan, settings: Settings
) -> None:
    log = data.draw(st.lists(RECORDS[topics], min_size=1, max_size=25))
    assert wrong_values(topics, log, plan, settings) == []


def test_every_topic_is_simulated() -> None:
    assert {topic for topics in RECORDS for topic in topics} == FOLDS.keys()
