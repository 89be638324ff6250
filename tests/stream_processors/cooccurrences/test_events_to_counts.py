"""Events to histories to counts, with workers stopped or replaced at any point.

The central guarantee: at the end G is exactly the Gram matrix of the histories.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import cycle

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.affinities import HistoryEntry, binary, greatest, weighted
from contracts.event_types import BUILT_IN
from contracts.keyspace import HOLDERS_FIELD, NOT_ITEMS
from contracts.messages import Interaction, encode
from contracts.partitioning import instrument_partition, user_partition
from contracts.times import DAY_MS
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import COOCCURRENCES, INTERACTIONS, Topic
from runtime.topology import Topology
from stream_processors.histories.rules import HistoryRules
from stream_processors.histories.scaled_fold import InverseDegree, MeanValue
from tests.examples import examples
from tests.oracles.gram import gram_of_histories, stored_once
from tests.stream_processors.folding import fold_of_interactions, folds_of_changes
from tests.stream_processors.simulated_store import Turns
from tests.stream_processors.simulation import (
    KEYSPACE,
    Plan,
    World,
    plans,
    play,
)

pytestmark = pytest.mark.usefixtures("in_small_steps")

TOPOLOGY = Topology(quotes=1, interactions=2, cooccurrences=2)
PARTITIONS = [
    *((INTERACTIONS, p) for p in range(TOPOLOGY.interactions)),
    *((COOCCURRENCES, p) for p in range(TOPOLOGY.cooccurrences)),
]
USERS = ["A", "B", "C", "D"]
N_ITEMS = 6
TODAY_MS = 1_790_000_000_000

days_ago = st.integers(0, 40) | st.integers(0, 700) | st.integers(9_000, 13_400)
times = days_ago.map(lambda day: TODAY_MS - day * DAY_MS)
events = st.builds(
    Interaction,
    user_id=st.sampled_from(USERS),
    instrument_id=st.integers(0, N_ITEMS - 1),
    event=st.sampled_from(list(BUILT_IN)),
    price=st.none() | st.floats(1, 1_000),
    quantity=st.none() | st.integers(1, 5).map(float),
    ts=times,
)
tombstones = st.builds(Tombstone, st.sampled_from(USERS), st.none() | times)
Record = Interaction | Tombstone | None
"""None stands for an invalid record."""
records = st.lists(events | events | events | tombstones | st.none(), min_size=1, max_size=20)

Items = dict[int, float]
Counts = dict[tuple[int, int], float]


def simulate(
    log: Sequence[Record],
    plan: Plan,
    rules: HistoryRules,
    before: Sequence[bytes] = (),
) -> World:
    """Return the world after all is folded.

    The records `before` are in each partition of `cooccurrences` from the start.
    """
    world = World(
        sizes=cycle(plan.sizes),
        make={
            INTERACTIONS: lambda claim, _, producer: fold_of_interactions(
                claim, producer, TOPOLOGY, rules
            ),
            COOCCURRENCES: lambda claim, store, _: folds_of_changes(claim, store),
        },
    )
    for partition in range(TOPOLOGY.cooccurrences):
        world.log_of(COOCCURRENCES, partition, *before)
    for record in log:
        append(world, record)
    play(world, PARTITIONS, plan)
    return world


def go_on(
    world: World,
    more: Sequence[Record],
    plan: Plan,
    partitions: list[tuple[Topic, int]] = PARTITIONS,
) -> None:
    """Fold more records by new workers."""
    for record in more:
        append(world, record)
    world.tasks, world.turns = [], Turns()
    play(world, partitions, plan)


def append(world: World, record: Record) -> None:
    topic = INTERACTIONS.name
    if record is None:
        world.logs[topic, 0].append((None, b""))
        return
    partition = partition_of(record.user_id)
    its_log = world.logs[topic, partition]
    if isinstance(record, Interaction):
        its_log.append((None, encode(record)))
        return
    key, headers = encode_tombstone(record)
    world.record_headers[topic, partition, len(its_log)] = headers
    its_log.append((key, None))


def partition_of(user: str) -> int:
    return user_partition(user, TOPOLOGY.interactions)


def stored_histories(world: World) -> dict[str, Items]:
    decode = msgspec.json.Decoder(HistoryEntry).decode
    histories = {
        user: {
            int(item): decode(value).r
            for item, value in world.data.get(history_key(user), {}).items()
            if item not in NOT_ITEMS
        }
        for user in USERS
    }
    return {user: items for user, items in histories.items() if items}


def counted_histories(world: World) -> dict[str, Items]:
    """Stored histories without rejected items."""
    return {
        user: {item: r for item, r in items.items() if r > 0}
        for user, items in stored_histories(world).items()
    }


def history_key(user: str) -> str:
    return KEYSPACE.history(partition_of(user), user)


def stored_counts(world: World) -> Counts:
    return {
        (item, int(j)): float(count)
        for item in range(N_ITEMS)
        for j, count in world.data.get(row_key(item), {}).items()
        if j not in NOT_ITEMS
    }


def expected_counts(world: World) -> Counts:
    """G of the stored histories, as it is stored."""
    return stored_once(gram_of_histories(counted_histories(world).values()))


def listed_items(world: World) -> set[str]:
    return set().union(*(world.data.get(KEYSPACE.items(p), {}) for p in (0, 1)))


def row_key(item: int) -> str:
    return KEYSPACE.cooc(instrument_partition(item, TOPOLOGY.cooccurrences), item)


A_YEAR_AGO_MS = TODAY_MS - 365 * DAY_MS
WITHOUT_CHANGES = b"neither msgpack nor changes"
PLAIN = Plan(sizes=[6], seed=0, disruptions=[])
rules = st.builds(
    HistoryRules,
    st.sampled_from([binary, *(of(days) for of in (weighted, greatest) for days in (14.0, 60.0))]),
    st.sampled_from([2, 500]),
    st.sampled_from([None, InverseDegree(0.5), InverseDegree(1.0), MeanValue(1.0, 50.0)]),
)


def trade(user: str, item: int, ts_ms: int) -> Interaction:
    return Interaction(user_id=user, instrument_id=item, ts=ts_ms)


LIGHT = [trade("A", 1, A_YEAR_AGO_MS), trade("A", 2, TODAY_MS)]
"""Of a user who stays: the products with item 1 are below 2^-44 of those of one who leaves."""


@examples(150)
@example(
    log=[*LIGHT, trade("B", 1, TODAY_MS), Tombstone("B")],
    plan=PLAIN,
    rules=HistoryRules(weighted(14.0), cap=500),
)
@example(
    log=[*LIGHT, trade("B", 1, TODAY_MS), Tombstone("B")],
    plan=PLAIN,
    rules=HistoryRules(greatest(14.0), cap=500),
)
@example(  # B's item 1 is pushed out
    log=[*LIGHT, *(trade("B", item, TODAY_MS + item) for item in (1, 3, 4))],
    plan=PLAIN,
    rules=HistoryRules(weighted(14.0), cap=2),
)
@given(log=records, plan=plans, rules=rules)
def test_counts_are_the_gram_matrix_of_the_stored_histories_until_all_users_have_left(
    log: list[Record], plan: Plan, rules: HistoryRules
) -> None:
    world = simulate(log, plan, rules, before=[WITHOUT_CHANGES])
    expected, counts = expected_counts(world), stored_counts(world)
    # Removing an item leaves a rounding error relative to the largest number.
    scale = max(expected.values(), default=0.0)
    for pair in counts.keys() | expected.keys():
        close = pytest.approx(expected.get(pair, 0.0), rel=1e-9, abs=1e-9 * scale)
        assert counts.get(pair, 0.0) == close
    held = Counter(item for items in counted_histories(world).values() for item in items)
    assert {item for item in held if counts.get((item, item), 0) > 0} == held.keys()
    assert {item for pair in counts for item in pair} == held.keys()
    assert listed_items(world) == set(map(str, held))
    if rules.counts_holders:
        for item, n in held.items():
            assert world.data[row_key(item)][HOLDERS_FIELD] == str(n)
    broken = {
        (b"interactions", b"%d" % offset)
        for offset, (_, value) in enumerate(world.logs[INTERACTIONS.name, 0])
        if value == b""
    }
    dead = {(letter["topic"], letter["offset"]) for letter in world.headers}
    assert dead == broken | {(b"cooccurrences", b"0")}

    go_on(world, list(map(Tombstone, USERS)), plan)
    assert stored_histories(world) == {}
    assert stored_counts(world) == {}
    assert listed_items(world) == set()
    assert set().union(*(world.data.get(KEYSPACE.active(p), {}) for p in (0, 1))) == set()
