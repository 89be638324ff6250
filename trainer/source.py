"""Where the counts and the histories of a run come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer.counts.matrices import Gram, UserItems
from trainer.generations.inputs import read_inputs
from trainer.generations.report import Inputs
from trainer.reading import read_gram, read_user_items
from trainer.settings import TrainerSettings
from trainer.stages import Stages


class SourceError(RuntimeError):
    """The data of a run is unavailable; the text says what to do."""


class Source(Protocol):
    """The data source of a run."""

    def inputs(
        self,
        topology: Topology,
        settings: TrainerSettings,
        variants: Mapping[str, TrainerSettings],
    ) -> Inputs:
        """Return the inputs of a run that starts now; what is read later is at least as new.

        Args:
            topology: how many partitions there are.
            settings: of the default variant.
            variants: the settings of each other one.
        """

    def read(self, topology: Topology, users: int, stages: Stages) -> tuple[Gram, UserItems]:
        """Return G of all items, and what the `users` latest active users have, latest first."""


@dataclass(frozen=True, slots=True)
class RedisSource:
    """What the workers keep in Redis."""

    store: Store
    keyspace: Keyspace

    def inputs(
        self,
        topology: Topology,
        settings: TrainerSettings,
        variants: Mapping[str, TrainerSettings],
    ) -> Inputs:
        """Return the inputs; the positions are those of the workers."""
        return read_inputs(self.store, self.keyspace, topology, settings, variants)

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
