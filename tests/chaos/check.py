"""Compares Redis and the topic of closed bars with the log of quotes and events.

The world must be idle.
"""

from collections.abc import Collection, Iterator

from contracts.keyspace import CLOSED_FIELD
from contracts.topics import BARS, QUOTES, Topic, dead_letters
from tests.chaos.messages import FOLLOWED, PUBLISHED
from tests.chaos.truth.closed_bars import wrong_closed_bars
from tests.chaos.truth.expected import (
    Run,
    compared_values,
    differences,
    expected_values,
    shortened,
    stored_fields,
)
from tests.chaos.truth.messages import expected_dead_letters
from tests.chaos.world import ChaosError, World


def check(world: World) -> int:
    """Compare Redis and closed bars with the log, once all is folded; return the log's records.

    Raises:
        ChaosError: they differ, to the last count; or the workers do not get to the log's end.
    """
    world.end_faults()
    pause_feed(world)
    world.reconnect()
    await_folded(world)
    problems = [
        *lost(world),
        *differences(
            expected_values(Run(world.log, world.keyspace, world.topology, world.mode)),
            compared_values(stored_fields(world.client, world.keyspace)),
        ),
        *_wrong_closed_bars(world),
        *_wrong_dead_letters(world),
    ]
    if problems:
        raise ChaosError(shortened(problems))
    records = sum(len(of) for (topic, _), of in world.log.records.items() if topic != BARS.name)
    world.say(f"checked: {records} records, no difference")
    world.feed.go_on()
    return records


def pause_feed(world: World) -> None:
    world.feed.pause()
    world.wait_for(world.feed.is_silent, "everything is acknowledged")


def await_folded(world: World) -> None:
    """Return when Redis has reached the end of every log.

    In the order of the pipeline: when the interactions are folded no more changes come, except
    from a replaced worker; so all are checked once more.
    """
    while not all(world.ends(topic) == world.positions(topic) for topic in FOLLOWED):
        for topic in FOLLOWED:
            ends = world.ends(topic)
            world.wait_for(
                lambda topic=topic, ends=ends: world.positions(topic) == ends,
                f"{topic.name} is folded up to {ends}",
            )


def lost(world: World, topics: Collection[Topic] = PUBLISHED) -> Iterator[str]:
    """Yield records that were acknowledged to the feed but are missing from the log read so far."""
    yield from world.feed.failures
    names = {topic.name for topic in topics}
    in_log = {
        (*place, record.offset): record.value
        for place in list(world.log.records)
        for record in world.log.newest(place)
    }
    for place, value in world.feed.acknowledged.items():
        if place[0] in names and (place not in in_log or in_log[place] != value):
            yield f"acknowledged and not in the log: {place} {value!r}"
    values = {(place[:2], value) for place, value in in_log.items()}
    for partition, value in world.feed.acknowledged_somewhere:
        if partition[0] in names and (partition, value) not in values:
            yield f"acknowledged and not in the log: {partition} {value!r}"


def _wrong_closed_bars(world: World) -> Iterator[str]:
    partitions = world.partitions(QUOTES)
    world.log.read_on(BARS, partitions)
    for p in range(partitions):
        closed_s = int(world.client.hget(world.keyspace.position(QUOTES, p), CLOSED_FIELD) or -60)
        yield from wrong_closed_bars(world.log, p, closed_s)


def _wrong_dead_letters(world: World) -> Iterator[str]:
    found = set()
    for topic in map(dead_letters, FOLLOWED):
        world.log.read_on(topic, 1)
        for record in world.log.records[topic.name, 0]:
            of = record.headers
            found.add((of["topic"].decode(), int(of["partition"]), int(of["offset"])))
    expected = expected_dead_letters(world.log, world.topology)
    for place in found ^ expected:
        yield f"{place} is a dead letter and breaks no rule, or breaks one and is none"
