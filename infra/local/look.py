"""Inspects Redis, like a person with redis-cli."""

from collections.abc import Iterator
from typing import Any

from contracts.keyspace import NEWEST_FIELD, Keyspace
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import INTERACTIONS, QUOTES
from infra.local.subjects import Subjects
from runtime.redis.stores import Store
from runtime.topology import Topology

_ITEMS = 3


def look(
    store: Store, keyspace: Keyspace, subjects: Subjects
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield commands and replies: a bar, its position, a history, the served lists."""
    noted: Any = store.hgetall(keyspace.topics())
    topology = Topology.from_hash(noted)
    quotes = instrument_partition(subjects.instrument_id, topology.quotes)
    interactions = user_partition(subjects.user_id, topology.interactions)
    bars = keyspace.bars(quotes, subjects.instrument_id)
    newest = str(store.hget(bars, NEWEST_FIELD))
    yield _run(store, "HGET", bars, NEWEST_FIELD)
    yield _run(store, "HGET", bars, newest)
    yield _run(store, "HGETALL", keyspace.position(QUOTES, quotes))
    yield _run(store, "HGETALL", keyspace.history(interactions, subjects.user_id))
    yield _run(store, "HGETALL", keyspace.position(INTERACTIONS, interactions))
    yield _run(store, "GET", keyspace.model_current())


def _run(store: Store, *command: str) -> tuple[tuple[str, ...], str]:
    reply = store.execute_command(*command)  # type: ignore[no-untyped-call]
    if isinstance(reply, dict):
        pairs = [f"{field} {value}" for field, value in reply.items()]
        more = [f"... ({len(pairs)} fields)"] if len(pairs) > 2 * _ITEMS else []
        return command, "\n".join([*(pairs[:_ITEMS] if more else pairs), *more])
    return command, str(reply)
