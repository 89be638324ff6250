"""How far the contenders are: ours by its positions in Redis, a peer by the hash that it writes."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.peers.progress import DONE_FIELD, FINISHED_FIELD, STARTED_FIELD, progress_key
from contracts.keyspace import NEXT_FIELD, UPDATED_AT_FIELD, Keyspace
from contracts.topics import Topic
from runtime.stores import Store
from runtime.topology import Topology


class Written(NamedTuple):
    """What a peer has written, and when it had."""

    records: int
    at_ms: int


Position = Mapping[str, str]


class Positions:
    """Reads the positions of one namespace's partitions."""

    def __init__(self, store: Store, keyspace: Keyspace, topology: Topology) -> None:
        self._store = store
        self._keyspace = keyspace
        self._topology = topology

    def of(self, topic: Topic) -> list[Position]:
        """Return the position of each partition of a topic, empty where there is none yet."""
        with self._store.pipeline(transaction=False) as pipeline:
            for partition in range(getattr(self._topology, topic.name)):
                pipeline.hgetall(self._keyspace.position(topic, partition))
            answers: list[Position] = pipeline.execute()
        return answers


def claimed_ms(positions: list[Position]) -> int | None:
    """Return when the last partition of an idle topic was claimed, None before that.

    The worker claims the partitions of all topics one after the other, and reads no record before
    it has the last; where nothing is published a position stays as its claim wrote it.
    """
    if not all(UPDATED_AT_FIELD in position for position in positions):
        return None
    return max(int(position[UPDATED_AT_FIELD]) for position in positions)


def folded_ms(positions: list[Position], records: int) -> int | None:
    """Return when the positions' sum came to a number of records, None before that."""
    if sum(int(position.get(NEXT_FIELD, 0)) for position in positions) < records:
        return None
    return max(int(position[UPDATED_AT_FIELD]) for position in positions)


class PeerProgress:
    """What a peer says of itself in its hash."""

    def __init__(self, store: Store, keyspace: Keyspace) -> None:
        self._store = store
        self._key = progress_key(keyspace)

    def started_ms(self) -> int | None:
        """Return when its first record came, None before that."""
        said = self._store.hget(self._key, STARTED_FIELD)
        return None if said is None else int(said)

    def written(self, records: int) -> Written | None:
        """Return what it had written last, once that is so many records or more."""
        done, at_ms = self._store.hmget(self._key, [DONE_FIELD, FINISHED_FIELD])
        if done is None or at_ms is None or int(done) < records:
            return None
        return Written(int(done), int(at_ms))
