"""Events to histories to counts, whatever stops or is replaced wherever it stands.

What everything else rests on: at the end G is the Gram matrix of the histories, to the last count.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import cycle

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_processors.cooccurrences.agent import CooccurrencePartition
from stream_processors.dead_letters import DeadLetters
from stream_processors.histories.agent import HistoryPartition

from contracts.keyspace import NOT_ITEMS, HistoryEntry
from contracts.messages import EVENT_TYPES, Interaction, encode
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.topology import Topology
from stream_processors.histories.affinities import Affinity, binary, weighted
from stream_processors.histories.user_weights import InverseDegree, MeanValue, UserWeight

from .simulation import KEYSPACE, Plan, World, plans, play, small_steps

TOPOLOGY = Topology(quotes=1, interactions=2, cooccurrences=2)
PARTITIONS = [
    *((INTERACTIONS, p) for p in range(TOPOLOGY.interactions)),
    *((COOCCURRENCES, p) for p in range(TOPOLOGY.cooccurrences)),
]
USERS = ["A", "B", "C", "D"]
HALF_LIFE_DAYS = 14.0
START_MS = 1_600_000_000_000
DAY_MS = 86_400_000

events = st.builds(
    Interaction,
    user_id=st.sampled_from(USERS),
    instrument_id=st.integers(0, 5),
    event=st.sampled_from(EVENT_TYPES),
    price=st.none() | st.floats(1, 1_000),
    quantity=st.none() | st.integers(1, 5).map(float),
    ts=st.integers(0, 40).map(lambda day: START_MS + day * DAY_MS),
)
records = st.lists(events | events | events | st.just(None), min_size=1, max_size=20)

Items = dict[int, float]


@pytest.fixture(autouse=True, scope="module")
def _small_steps() -> Iterator[None]:
    with small_steps():
        yield


def simulate(
    log: list[Interaction | None],
    plan: Plan,
    affinity: Affinity,
    cap: int,
    before: Sequence[bytes] = (),
    weight: UserWeight | None = None,
) -> World:
    """Return the world after all is folded; None in the log stands for a record that is none.

    What comes `before` stands in each partition of `cooccurrences` from the start.
    """
    world = World(
        sizes=cycle(plan.sizes),
        make={
            INTERACTIONS: lambda claim, sink, publisher: HistoryPartition(
                claim, sink, publisher, DeadLetters(publisher), TOPOLOGY, affinity, cap, weight
            ),
            COOCCURRENCES: lambda claim, sink, publisher: CooccurrencePartition(
                claim, sink, DeadLetters(publisher)
            ),
        },
    )
    for partition in range(TOPOLOGY.cooccurrences):
        world.logs[COOCCURRENCES.name, partition].extend(before)
    for event in log:
        partition = 0 if event is None else partition_of(event.user_id)
        world.logs[INTERACTIONS.name, partition].append(b"" if event is None else encode(event))
    play(world, PARTITIONS, plan)
    return world


def partition_of(user: str) -> int:
    return user_partition(user, TOPOLOGY.interactions)


def stored_histories(world: World) -> dict[str, Items]:
    decode = msgspec.json.Decoder(HistoryEntry).decode
    return {
        user: {int(item): decode(value).r for item, value in stored.items() if item.isdigit()}
        for user in USERS
        if (stored := world.data.get(KEYSPACE.history(partition_of(user), user)))
    }


def stored_counts(world: World) -> dict[tuple[int, int], float]:
    return {
        (item, int(j)): float(count)
        for item in range(6)
        for j, count in world.data.get(row_key(item), {}).items()
        if j not in NOT_ITEMS
    }


def row_key(item: int) -> str:
    return KEYSPACE.cooc(instrument_partition(item, TOPOLOGY.cooccurrences), item)


def gram(histories: dict[str, Items]) -> dict[tuple[int, int], float]:
    counts: dict[tuple[int, int], float] = defaultdict(float)
    for history in histories.values():
        for i, r_i in history.items():
            for j, r_j in history.items():
                counts[i, j] += r_i * r_j
    return counts


def recomputed(log: list[Interaction | None], cap: int) -> dict[str, Items]:
    """The histories in binary mode: of each user the items touched last, event by event."""
    last_ts: dict[str, dict[int, int]] = defaultdict(dict)
    for event in filter(None, log):
        mine, item = last_ts[event.user_id], event.instrument_id
        mine[item] = max(event.ts, mine.get(item, event.ts))
        if len(mine) > cap:
            del mine[min(mine, key=lambda i: (mine[i], i))]
    return {user: dict.fromkeys(items, 1.0) for user, items in last_ts.items()}


many = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@many
@given(log=records, plan=plans, cap=st.sampled_from([1, 2, 3, 500]))
def test_binary_counts_are_the_gram_matrix_of_the_log_to_the_last_one(
    log: list[Interaction | None], plan: Plan, cap: int
) -> None:
    world = simulate(log, plan, binary, cap)
    histories = stored_histories(world)
    assert histories == recomputed(log, cap)
    expected, stored = gram(histories), stored_counts(world)
    assert {pair: count for pair, count in stored.items() if count} == expected


@many
@given(
    log=records,
    plan=plans,
    cap=st.sampled_from([2, 500]),
    weight=st.sampled_from([None, InverseDegree(0.5), MeanValue(1.0, 50.0)]),
)
def test_weighted_counts_are_the_gram_matrix_of_the_stored_histories(
    log: list[Interaction | None], plan: Plan, cap: int, weight: UserWeight | None
) -> None:
    world = simulate(log, plan, weighted(HALF_LIFE_DAYS), cap, weight=weight)
    expected, stored = gram(stored_histories(world)), stored_counts(world)
    assert stored.keys() >= expected.keys()
    # What an item took out again leaves a rest of the greatest number that was there.
    scale = max(expected.values(), default=0.0)
    for pair, count in stored.items():
        assert count == pytest.approx(expected.get(pair, 0.0), rel=1e-9, abs=1e-9 * scale)


@many
@given(log=records, plan=plans)
def test_a_users_last_item_has_the_scale_of_the_whole_history(
    log: list[Interaction | None], plan: Plan
) -> None:
    world = simulate(log, plan, binary, cap=500, weight=InverseDegree(0.5))
    last = {event.user_id: event.instrument_id for event in log if event}
    histories = stored_histories(world)
    assert histories.keys() == last.keys()
    for user, items in histories.items():
        assert items[last[user]] == pytest.approx(len(items) ** -0.5)


@many
@given(log=records, plan=plans)
def test_every_broken_record_reaches_the_dead_letters_and_every_row_its_index(
    log: list[Interaction | None], plan: Plan
) -> None:
    world = simulate(log, plan, binary, cap=500, before=[b"neither msgpack nor changes"])
    broken = {
        (b"interactions", b"%d" % offset)
        for offset, value in enumerate(world.logs[INTERACTIONS.name, 0])
        if value == b""
    }
    dead = {(letter["topic"], letter["offset"]) for letter in world.headers}
    assert dead == broken | {(b"cooccurrences", b"0")}
    items = {item for item in range(6) if world.data.get(row_key(item))}
    index = set().union(*(world.data.get(KEYSPACE.items(p), {}) for p in (0, 1)))
    assert index == set(map(str, items))
