"""The store's contents under one namespace: a contender's progress and output.

Our progress is in the positions, a peer's in the hash that it writes
(`benchmarks.peers.progress`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from benchmarks.peers.progress import DONE_FIELD, FINISHED_FIELD, STARTED_FIELD, progress_key
from contracts.keyspace import NEXT_FIELD, UPDATED_AT_FIELD, Keyspace
from contracts.topics import Topic
from runtime.redis.stores import Store
from runtime.topology import Topology

_KEYS_A_READ: Final = 2_000

Position = Mapping[str, str]


class Written(NamedTuple):
    """What a contender had written, and when it had."""

    records: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Namespace:
    """One contender's keys in a store."""

    store: Store
    keys: Keyspace
    topology: Topology

    def positions(self, topic: Topic) -> list[Position]:
        """Return the position of each partition of a topic, empty where there is none yet."""
        with self.store.pipeline(transaction=False) as pipeline:
            for partition in range(self.topology.of(topic)):
                pipeline.hgetall(self.keys.position(topic, partition))
            answers: list[Position] = pipeline.execute()
        return answers

    def peer_started_ms(self) -> int | None:
        """Return when a peer's first record came, None before that."""
        said = self.store.hget(progress_key(self.keys.namespace), STARTED_FIELD)
        return None if said is None else int(said)

    def peer_written(self, records: int) -> Written | None:
        """Return what a peer had written last, once that is so many records or more."""
        done, at_ms = self.store.hmget(
            progress_key(self.keys.namespace), [DONE_FIELD, FINISHED_FIELD]
        )
        if done is None or at_ms is None or int(done) < records:
            return None
        return Written(int(done), int(at_ms))

    def hashes(self, kind: str) -> Iterator[dict[str, str]]:
        """Return all hashes of a kind of key: `bars` or `cooc`."""
        keys = list(self.store.scan_iter(match=f"{self.keys.namespace}:{kind}:*", count=10_000))
        for at in range(0, len(keys), _KEYS_A_READ):
            with self.store.pipeline(transaction=False) as pipeline:
                for key in keys[at : at + _KEYS_A_READ]:
                    pipeline.hgetall(key)
                yield from pipeline.execute()


def claimed_ms(positions: Sequence[Position]) -> int | None:
    """Return when the last partition of an idle topic was claimed, None before that.

    The worker claims the partitions of all topics one after the other, and reads no record before
    it has the last; where nothing is published a position stays as its claim wrote it.
    """
    if not all(UPDATED_AT_FIELD in position for position in positions):
        return None
    return max(int(position[UPDATED_AT_FIELD]) for position in positions)


def folded(positions: Sequence[Position], records: int) -> Written | None:
    """Return when the positions' sum came to a number of records, None before that."""
    if sum(int(position.get(NEXT_FIELD, 0)) for position in positions) < records:
        return None
    return Written(records, max(int(position[UPDATED_AT_FIELD]) for position in positions))
