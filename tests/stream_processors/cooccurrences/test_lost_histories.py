"""Histories are lost and counts are not, or changes are lost: effects and a remedy."""

import pytest

from contracts.affinities import binary
from contracts.keyspace import LAST_FIELD, TOPIC_ID_FIELD
from contracts.messages import Interaction
from contracts.topics import COOCCURRENCES, INTERACTIONS
from stream_processors import metrics
from stream_processors.histories.rules import HistoryRules
from tests.stream_processors.cooccurrences.test_events_to_counts import (
    PARTITIONS,
    TOPOLOGY,
    expected_counts,
    go_on,
    simulate,
    stored_counts,
)
from tests.stream_processors.simulation import KEYSPACE, Plan, World

pytestmark = pytest.mark.usefixtures("in_small_steps")

PLAN = Plan(sizes=[3, 1, 6], seed=0, disruptions=[])
RULES = HistoryRules(binary, 500)


def events(first_item: int) -> list[Interaction]:
    """Of users in both partitions."""
    return [
        Interaction(user_id=user, instrument_id=first_item + n, ts=1_600_000_000_000 + n)
        for user in "ABCD"
        for n in range(2)
    ]


def lose(world: World, tag: str) -> None:
    for key in [key for key in world.data if f"{{{tag}}}" in key]:
        del world.data[key]


def make_topic_anew(world: World) -> None:
    """The log is unchanged: its records are counted on top."""
    for p in range(TOPOLOGY.interactions):
        position = world.data[KEYSPACE.position(INTERACTIONS, p)]
        position[TOPIC_ID_FIELD] = "former"
        position.pop(LAST_FIELD, None)  # otherwise it would be taken for a copy


def test_they_are_folded_again_from_the_log_and_counted_once() -> None:
    world = simulate(events(0), PLAN, RULES)
    lose(world, "i0")
    go_on(world, events(1), PLAN)
    assert stored_counts(world) == expected_counts(world)


def test_after_a_topic_was_recreated_new_events_are_still_counted() -> None:
    world = simulate(events(0), PLAN, RULES)
    make_topic_anew(world)
    go_on(world, events(1), PLAN)
    before = stored_counts(world)
    lose(world, "i0")
    go_on(world, events(3), PLAN)
    after = stored_counts(world)
    new = expected_counts(world)
    assert {pair: after.get(pair, 0.0) for pair in new if max(pair) > 2} == {
        pair: count for pair, count in new.items() if max(pair) > 2
    }
    assert {pair: after[pair] for pair in before} == before


def test_changes_that_were_cut_off_before_they_were_applied_are_counted_as_missing() -> None:
    world = simulate(events(0), PLAN, RULES)
    log = world.logs[COOCCURRENCES.name, 0]
    applied = len(log)
    of_histories = [place for place in PARTITIONS if place[0] == INTERACTIONS]
    go_on(world, events(1), PLAN, of_histories)
    world.earliest[COOCCURRENCES.name, 0] = len(log)
    cut = len(log) - applied
    missing = metrics.GAP.labels(COOCCURRENCES.name)._value
    before = missing.get()
    go_on(world, events(3), PLAN)
    assert missing.get() - before == cut > 0
    expected = expected_counts(world)
    assert stored_counts(world) != expected
    # The remedy: histories are folded again, and publish all of their changes again.
    for tag in ("i0", "i1", "c0", "c1"):
        lose(world, tag)
    go_on(world, [], PLAN)
    assert stored_counts(world) == expected_counts(world) == expected


def test_deleted_counts_are_rebuilt_from_existing_histories() -> None:
    world = simulate(events(0), PLAN, RULES)
    lose(world, "i0")
    go_on(world, events(3), PLAN)
    # As if changes had been lost: the log of `cooccurrences` still has all of them.
    for p in range(TOPOLOGY.cooccurrences):
        lose(world, f"c{p}")
    assert stored_counts(world) == {}
    go_on(world, [], PLAN)
    assert stored_counts(world) == expected_counts(world)
    assert all(KEYSPACE.position(COOCCURRENCES, p) in world.data for p in (0, 1))
