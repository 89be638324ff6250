"""Where the counts and the histories of a run come from."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer.counts.matrices import Gram, UserItems
from trainer.generations.decisions import read_positions
from trainer.generations.report import FromArchive, Position
from trainer.reading import read_gram, read_user_items
from trainer.stages import Stages


class SourceError(RuntimeError):
    """The data of a run is unavailable; the text says what to do."""


class Origin(NamedTuple):
    """What the counts and histories of a run are of."""

    positions: dict[str, list[Position]]
    """topic -> position of each partition"""
    archive: FromArchive | None = None
    """None: the counts are the workers', out of Redis"""


class Source(Protocol):
    """The data source of a run."""

    def origin(self, topology: Topology) -> Origin:
        """Return what a run that starts now learns from; what is read later is at least as new."""

    def read(self, topology: Topology, users: int, stages: Stages) -> tuple[Gram, UserItems]:
        """Return G of all items, and what the `users` latest active users have, latest first."""


@dataclass(frozen=True, slots=True)
class RedisSource:
    """What the workers keep in Redis."""

    store: Store
    keyspace: Keyspace

    def origin(self, topology: Topology) -> Origin:
        """Return the positions of the workers."""
        return Origin(read_positions(self.store, self.keyspace, topology))

    def read(self, topology: Topology, users: int, stages: Stages) -> tuple[Gram, UserItems]:
        """Return counts and histories as they stand.

        Raises:
            CorruptValueError: too many of them are corrupt.
            redis.exceptions.RedisError: Redis is unreachable.
        """
        with stages.timed("read counts"):
            gram = read_gram(self.store, self.keyspace, topology.cooccurrences, stages)
        with stages.timed("read histories"):
            user_items = read_user_items(
                self.store, self.keyspace, topology.interactions, users, stages
            )
        return gram, user_items
