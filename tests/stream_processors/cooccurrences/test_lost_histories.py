"""Histories are lost and counts are not, or changes are lost: effects and a remedy."""

import json
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pytest

from contracts.keyspace import LAST_FIELD, NOT_ITEMS, TOPIC_ID_FIELD
from contracts.messages import Interaction, encode
from contracts.partitioning import user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS, Topic
from runtime.topology import Topology
from stream_processors import metrics
from tests.oracles.gram import gram_of_histories, stored_once
from tests.stream_processors.folding import BINARY, KEYSPACE, fold_of_interactions, folds_of_changes
from tests.stream_processors.simulated_store import Turns
from tests.stream_processors.simulation import Plan, World, play

pytestmark = pytest.mark.usefixtures("in_small_steps")

TOPOLOGY = Topology(quotes=1, interactions=2, cooccurrences=2)
PARTITIONS = [(topic, p) for topic in (INTERACTIONS, COOCCURRENCES) for p in range(2)]
USERS = "ABCD"
"""of both partitions"""
Counts = dict[tuple[int, int], float]


def new_world() -> World:
    """Return a world in which each user did something with items 0 and 1."""
    make: dict[Topic, Any] = {
        INTERACTIONS: lambda claim, _, to: fold_of_interactions(claim, to, TOPOLOGY, BINARY),
        COOCCURRENCES: lambda claim, store, _: folds_of_changes(claim, store),
    }
    world = World(sizes=cycle([3, 1, 6]), make=make)
    go_on(world, 0, 1)
    return world


def go_on(world: World, *items: int, partitions: Sequence[tuple[Topic, int]] = PARTITIONS) -> None:
    """Let each user do something with the items, and fold it by new workers."""
    for user in USERS:
        for n, item in enumerate(items):
            event = Interaction(user_id=user, instrument_id=item, ts=1_600_000_000_000 + n)
            world.log_of(INTERACTIONS, user_partition(user, 2), encode(event))
    world.tasks, world.turns = [], Turns()
    play(world, list(partitions), Plan(sizes=[], seed=0, disruptions=[]))


def fields_of(world: World, kind: str) -> dict[str, dict[str, str]]:
    """Return by what identifies a key its fields that are items."""
    return {
        key.rpartition(":")[2]: {i: value for i, value in fields.items() if i not in NOT_ITEMS}
        for key, fields in world.data.items()
        if f":{kind}:" in key
    }


def stored_counts(world: World) -> Counts:
    rows = fields_of(world, "cooc").items()
    return {(int(i), int(j)): float(n) for i, row in rows for j, n in row.items()}


def expected_counts(world: World) -> Counts:
    """G of the stored histories, as it is stored."""
    histories = fields_of(world, "history").values()
    affinities = ({int(i): json.loads(entry)["r"] for i, entry in its.items()} for its in histories)
    return stored_once(gram_of_histories(affinities))


def lose(world: World, tag: str) -> None:
    for key in [key for key in world.data if f"{{{tag}}}" in key]:
        del world.data[key]


def test_after_a_topic_was_recreated_new_events_are_still_counted() -> None:
    world = new_world()
    for p in range(TOPOLOGY.interactions):  # the log is unchanged: its records are counted on top
        position = world.data[KEYSPACE.position(INTERACTIONS, p)]
        position[TOPIC_ID_FIELD] = "former"
        position.pop(LAST_FIELD, None)  # otherwise it would be taken for a copy
    go_on(world, 1, 2)
    before = stored_counts(world)
    lose(world, "i0")
    go_on(world, 3, 4)
    after = stored_counts(world)
    new = {pair: count for pair, count in expected_counts(world).items() if max(pair) > 2}
    assert (before | new).items() <= after.items()


def test_changes_that_were_cut_off_before_they_were_applied_are_counted_as_missing() -> None:
    world = new_world()
    log = world.logs[COOCCURRENCES.name, 0]
    applied = len(log)
    of_histories = [place for place in PARTITIONS if place[0] == INTERACTIONS]
    go_on(world, 1, 2, partitions=of_histories)
    world.earliest[COOCCURRENCES.name, 0] = len(log)
    cut = len(log) - applied
    missing = metrics.GAP.labels(COOCCURRENCES.name)._value
    before = missing.get()
    go_on(world, 3, 4)
    assert missing.get() - before == cut > 0
    expected = expected_counts(world)
    assert stored_counts(world) != expected
    # The remedy: histories are folded again, and publish all of their changes again.
    for tag in ("i0", "i1", "c0", "c1"):
        lose(world, tag)
    go_on(world)
    assert stored_counts(world) == expected_counts(world) == expected


def test_deleted_counts_are_rebuilt_from_existing_histories() -> None:
    world = new_world()
    lose(world, "i0")
    go_on(world, 1, 2)
    assert stored_counts(world) == expected_counts(world), "counted once"
    # As if changes had been lost: the log of `cooccurrences` still has all of them.
    for p in range(TOPOLOGY.cooccurrences):
        lose(world, f"c{p}")
    assert stored_counts(world) == {}
    go_on(world)
    assert stored_counts(world) == expected_counts(world)
    assert all(KEYSPACE.position(COOCCURRENCES, p) in world.data for p in (0, 1))
