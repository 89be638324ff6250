"""What a run reads first: positions, and what the served generation says of itself."""

from heapq import nlargest
from operator import attrgetter
from typing import Final

import msgspec

from contracts.generations import DEFAULT_VARIANT, PopularList
from contracts.keyspace import INCARNATION_FIELD, NEXT_FIELD, Keyspace
from contracts.log_position import next_position
from contracts.topics import COOCCURRENCES, INTERACTIONS, Topic
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer.generations.decisions import read_report
from trainer.generations.publication import read_current
from trainer.generations.report import Inputs, Position, Report
from trainer.quality.figures import Popularity
from trainer.reading import ask_each

TOP_ITEMS: Final = 200
"""Whose share of all counts is compared. New items must not stand out among too many."""

_popular = msgspec.json.Decoder(PopularList)


def read_positions(
    store: Store, keyspace: Keyspace, topology: Topology
) -> dict[str, list[Position]]:
    """Return the position of each partition that counts and histories are made of, by topic."""
    partitions = {INTERACTIONS: topology.interactions, COOCCURRENCES: topology.cooccurrences}
    return {topic.name: _positions(store, keyspace, topic, n) for topic, n in partitions.items()}


def events_folded(inputs: Inputs) -> int:
    """Return how many events the histories are of, by the positions of their partitions."""
    return sum(position.offset for position in inputs.positions[INTERACTIONS.name] if position)


def served_report(
    store: Store, keyspace: Keyspace, variant: str = DEFAULT_VARIANT
) -> Report | None:
    """Return the report of what a variant serves, None if there is none to be read."""
    current = read_current(store, keyspace)
    served = current.variants.get(variant) if current else None
    return read_report(store, keyspace, served.generation) if served else None


def served_popularity(store: Store, keyspace: Keyspace, served: Report) -> Popularity | None:
    """Return what was popular when a generation was made, None if it is gone or damaged."""
    try:
        stored = store.get(keyspace.model_popular(served.generation))
        if not stored:
            return None
        items = nlargest(TOP_ITEMS, _popular.decode(stored).items, key=attrgetter("support"))
        top = {int(popular.item): popular.support for popular in items}
    except (ValueError, msgspec.DecodeError):
        return None
    return Popularity(served.data.items, served.data.own_counts, top)


def _positions(store: Store, keyspace: Keyspace, topic: Topic, partitions: int) -> list[Position]:
    answers = ask_each(
        store,
        [keyspace.position(topic, partition) for partition in range(partitions)],
        lambda pipeline, key: pipeline.hmget(key, INCARNATION_FIELD, NEXT_FIELD),
    )
    return [next_position(*answer) for answer in answers]
