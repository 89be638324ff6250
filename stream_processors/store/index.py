"""The set that indexes a partition's users, items or open bars. Pure."""

from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES, Topic


def index_of(keyspace: Keyspace, topic: Topic, partition: int) -> str | None:
    """Return its key, None for a partition that has no such set."""
    if topic == QUOTES:
        return keyspace.open_bars(partition)
    if topic == INTERACTIONS:
        return keyspace.active(partition)
    return keyspace.items(partition) if topic == COOCCURRENCES else None
