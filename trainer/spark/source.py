"""What a run learns from, made by Spark of a snapshot of the archive."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from pyspark.sql import SparkSession

from contracts.event_types import changed
from contracts.keyspace import FOLDING_FIELD, Keyspace
from contracts.topics import INTERACTIONS
from runtime.archive.config import ArchiveConfig
from runtime.redis.stores import Store
from runtime.settings import FoldingSettings, SharedSettings
from runtime.topology import Topology
from trainer.counts.matrices import Gram, UserItems
from trainer.generations.report import FromArchive
from trainer.reading import ask_each
from trainer.source import Origin, SourceError
from trainer.spark import frames
from trainer.spark.cooccurrences import gram_of_cells, user_items_of
from trainer.spark.snapshot import Snapshot
from trainer.stages import Stages

log = structlog.get_logger(__name__)


class SparkSettings(FoldingSettings, SharedSettings):
    """The settings of a run on Spark, in addition to the trainer's: the environment's.

    How events become histories is said to the trainer as it is to the workers.
    """

    archive: ArchiveConfig = ArchiveConfig()

    def folding(self) -> FoldingSettings:
        """Return how events become histories, alone."""
        return FoldingSettings(**self.model_dump(include=set(FoldingSettings.model_fields)))


@dataclass(frozen=True, slots=True)
class Archived:
    """A snapshot, and how it is read: once, however often a run is tried."""

    session: Callable[[], AbstractContextManager[SparkSession]]
    snapshot: Snapshot
    rules: FoldingSettings
    """how events become histories"""
    _found: dict[int, tuple[Gram, UserItems]] = field(default_factory=dict)
    """of how many users -> counts and histories"""

    def read(self, users: int, stages: Stages) -> tuple[Gram, UserItems]:
        """Return G of all users, and what the `users` latest active ones have, latest first.

        Raises:
            SourceError: Spark did not start, or could not do it.
            StoppedError: the process was asked to stop.
        """
        if users not in self._found:
            with self.session() as spark:
                self._found[users] = self._read(spark, users, stages)
        return self._found[users]

    def _read(self, spark: SparkSession, users: int, stages: Stages) -> tuple[Gram, UserItems]:
        with stages.timed("read histories"):
            histories = frames.histories_of(spark, self.snapshot, self.rules)
            extent = frames.extent_of(histories)
            log.info("folded", users=extent.users, pairs=round(extent.pairs))
            latest = frames.latest_of(spark, histories, users, extent.users)
            user_items = user_items_of(latest)
        with stages.timed("read counts"):
            items = frames.items_of(histories)
            cells = frames.cells_of(spark, histories, items, extent.pairs)
            return gram_of_cells(items, cells), user_items


@dataclass(frozen=True, slots=True)
class SparkSource:
    """Counts and histories of the archive, for the lists of a namespace."""

    store: Store
    keyspace: Keyspace
    archived: Archived

    def origin(self, topology: Topology) -> Origin:
        """Return the snapshot and its positions.

        Raises:
            SourceError: the workers of the namespace fold events otherwise.
        """
        rules, snapshot = self.archived.rules.model_dump(mode="json"), self.archived.snapshot
        self._check_folding(topology, self.archived.rules.folded_by())
        at = {p: position.place for p, position in snapshot.positions.items()}
        positions = [at.get(p) for p in range(max(at, default=-1) + 1)]
        return Origin({INTERACTIONS.name: positions}, FromArchive(str(snapshot.id), rules))

    def read(self, topology: Topology, users: int, stages: Stages) -> tuple[Gram, UserItems]:  # noqa: ARG002 (the archive knows its partitions)
        """Return counts and histories of the snapshot.

        Raises:
            SourceError: Spark did not start, or could not do it.
            StoppedError: the process was asked to stop.
        """
        return self.archived.read(users, stages)

    def _check_folding(self, topology: Topology, ours: Mapping[str, Any]) -> None:
        """Compare how events become histories with how the workers fold them."""
        stored = ask_each(
            self.store,
            [self.keyspace.position(INTERACTIONS, p) for p in range(topology.interactions)],
            lambda pipeline, key: pipeline.hget(key, FOLDING_FIELD),
        )
        for theirs in map(msgspec.json.decode, filter(None, stored)):
            differing = ", ".join(
                f"{name.upper()} is {ours.get(name, 'not set')} here and "
                f"{theirs.get(name, 'not set')} there"
                for name in changed(theirs, ours)
                if name in {*theirs, "event_weights"}
            )
            if differing:
                raise SourceError(
                    "the workers of this namespace fold events otherwise, and the lists would not "
                    f"fit their histories: {differing}. Set it here as it is for them"
                )
