"""Decisions on generations, reports, and what a run reads first: positions, and what is served."""

from heapq import nlargest
from operator import attrgetter
from typing import Final

import msgspec
import structlog

from contracts.generations import DEFAULT_VARIANT, Decision, PopularList, UnderWay
from contracts.keyspace import DECISIONS_KEPT, INCARNATION_FIELD, NEXT_FIELD, Keyspace
from contracts.log_position import next_position
from contracts.topics import COOCCURRENCES, INTERACTIONS, Topic
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer import telemetry
from trainer.generations.publication import read_current
from trainer.generations.report import Inputs, Position, Report
from trainer.quality.figures import Popularity
from trainer.reading import ask_each

_decision = msgspec.json.Decoder(Decision)
_report = msgspec.json.Decoder(Report)
log = structlog.get_logger(__name__)


def note(store: Store, keyspace: Keyspace, decision: Decision) -> None:
    """Log a decision, and put it into the list of them and into the generation's report.

    It is already in effect: `model:current` decides, not this list. If a process is killed just
    before, the decision is not recorded.
    """
    log.info("decided", **msgspec.to_builtins(decision))
    telemetry.DECISIONS.labels(decision.what).inc()
    decisions = keyspace.model_decisions()
    store.lpush(decisions, msgspec.json.encode(decision))
    store.ltrim(decisions, 0, DECISIONS_KEPT - 1)
    key = keyspace.model_report(decision.generation)
    if (report := read_report(store, keyspace, decision.generation)) is not None:
        noted = msgspec.structs.replace(report, decisions=[*report.decisions, decision])
        # Its expiry, if any, stays; and if it has expired, it must not come back.
        store.set(key, msgspec.json.encode(noted), xx=True, keepttl=True)


def note_under_way(
    store: Store, keyspace: Keyspace, under_way: UnderWay | None, expiry_s: float
) -> None:
    """Note what the trainer is doing; it is forgotten if that is not noted again in time."""
    if under_way is None:
        store.delete(keyspace.model_under_way())
    else:
        value, px = msgspec.json.encode(under_way), round(expiry_s * 1000)
        store.set(keyspace.model_under_way(), value, px=px)


def read_decisions(store: Store, keyspace: Keyspace, n: int = DECISIONS_KEPT) -> list[Decision]:
    """Return the last n decisions, newest first."""
    stored = store.lrange(keyspace.model_decisions(), 0, n - 1)
    return [_decision.decode(value) for value in stored]


def read_report(store: Store, keyspace: Keyspace, generation: str) -> Report | None:
    """Return a generation's report, None if it is gone, damaged or of another trainer's version."""
    try:
        stored = store.get(keyspace.model_report(generation))
        return _report.decode(stored) if stored else None
    except (UnicodeDecodeError, msgspec.DecodeError):
        return None


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
