"""A store with counts and histories as the workers write them, and runs of the trainer on it."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from prometheus_client import REGISTRY
from rich.progress import Progress

from contracts.generations import DEFAULT_VARIANT, Current, Decision, Served
from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition, row_of, user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS, STREAMED
from runtime.redis.stores import Store
from runtime.topology import Topology
from tests.oracles.gram import gram_matrix
from trainer.counts.matrices import Gram, UserItems
from trainer.generations.decisions import read_decisions, read_report
from trainer.generations.publication import read_current
from trainer.generations.report import Report
from trainer.quality.checking import Level
from trainer.reading import read_gram, read_user_items
from trainer.run.runs import Runs
from trainer.settings import TrainerSettings
from trainer.settings_file import changed
from trainer.source import RedisSource
from trainer.stages import Stages

PARTITIONS = 3

Affinities = npt.NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    store: Store
    keys: Keyspace
    settings: TrainerSettings

    def fill(self, affinities: Affinities, offset: int = 9) -> Affinities:
        """Put affinities (n_users, n_items) into the store as if workers had folded them.

        Item ids are 100, 101, ...; user ids "u0", "u1", ..., the last of them active last.
        """
        note_topics(self.store, self.keys, offset)
        items = [*range(100, 100 + affinities.shape[1])]
        put_counts(self.store, self.keys, items, gram_matrix(affinities), offset)
        self._put_histories(affinities, offset)
        return affinities

    def _put_histories(self, affinities: Affinities, offset: int) -> None:
        pipeline = self.store.pipeline(transaction=False)
        for u, row in enumerate(affinities):
            if row.any():
                history = {
                    str(100 + int(i)): json.dumps({"r": row[i], "t": 1000 + u})
                    for i in np.flatnonzero(row)
                }
                history["off"] = f"[0,{offset}]"
                pipeline.hset(self.history_key(f"u{u}"), mapping=history)
                pipeline.zadd(self.active_key(f"u{u}"), {f"u{u}": 1000 + u})
        pipeline.execute()

    def row_key(self, item: int) -> str:
        return self.keys.cooc(instrument_partition(item, PARTITIONS), item)

    def items_key(self, item: int) -> str:
        return self.keys.items(instrument_partition(item, PARTITIONS))

    def history_key(self, user: str) -> str:
        return self.keys.history(user_partition(user, PARTITIONS), user)

    def active_key(self, user: str) -> str:
        """Return the key of when a user, and others, were active."""
        return self.keys.active(user_partition(user, PARTITIONS))

    def something_happens(self, events: int = 1) -> None:
        """Have something new that can be trained on."""
        for topic in (INTERACTIONS, COOCCURRENCES):
            self.store.hincrby(self.keys.position(topic, 0), "next", events)

    def run(self, *, asked: bool = False, **values: Any) -> str:
        """Run once with other values of some settings, and return how that ended.

        A run that a person asked for trains even if nothing has changed.
        """
        return run(changed(self.settings, values), only_if_changed=not asked)

    def gram(self) -> Gram:
        return read_gram(self.store, self.keys, PARTITIONS, unwatched())

    def latest(self, users: int) -> UserItems:
        """Read the histories of the users who were active last."""
        return read_user_items(self.store, self.keys, PARTITIONS, users, unwatched())

    @property
    def current(self) -> Current:
        current = read_current(self.store, self.keys)
        assert current is not None
        return current

    @property
    def served_generation(self) -> str | None:
        """The generation of the default variant; None before one is served."""
        current = read_current(self.store, self.keys)
        variant = current.variants.get(DEFAULT_VARIANT) if current else None
        return variant.generation if variant else None

    def served(self, variant: str = DEFAULT_VARIANT) -> Served:
        return self.current.variants[variant]

    def report(self, variant: str = DEFAULT_VARIANT) -> Report:
        report = read_report(self.store, self.keys, self.served(variant).generation)
        assert report is not None
        return report

    def decisions(self) -> list[Decision]:
        """Return all decisions, the latest first."""
        return read_decisions(self.store, self.keys)

    def read(self, key: str, of_type: type[T]) -> T:
        return msgspec.json.decode(str(self.store.get(key)), type=of_type)


def note_topics(store: Store, keys: Keyspace, offset: int = 0, **folding: object) -> None:
    """Note partitions, and positions after an offset of those who folded by these settings."""
    topology = Topology(**{topic.name: PARTITIONS for topic in STREAMED})
    store.hset(keys.topics(), mapping=topology.as_hash())
    for topic in (INTERACTIONS, COOCCURRENCES):
        position = {"next": offset + 1, "epoch": 1, "incarnation": 0, "updated_at_ms": 0}
        if folding and topic == INTERACTIONS:
            position["folding"] = json.dumps(folding)
        for partition in range(PARTITIONS):
            store.hset(keys.position(topic, partition), mapping=position)


def put_counts(
    store: Store, keys: Keyspace, items: Sequence[int], gram: Affinities, offset: int
) -> None:
    pipeline = store.pipeline(transaction=False)
    for i in np.flatnonzero(gram.diagonal()).tolist():
        item, partition = items[i], instrument_partition(items[i], PARTITIONS)
        row = {
            str(items[j]): repr(float(gram[i, j]))
            for j in np.flatnonzero(gram[i]).tolist()
            if row_of(item, items[j]) == item
        }
        pipeline.hset(keys.cooc(partition, item), mapping=row | {"off": f"[0,{offset}]"})
        pipeline.sadd(keys.items(partition), item)
    pipeline.execute()


def unwatched() -> Stages:
    return Stages(lambda: None, Progress(disable=True))


def broken_rules(level: Level, variant: str = DEFAULT_VARIANT) -> float | None:
    """Return how many rules a variant breaks, by the metrics."""
    return REGISTRY.get_sample_value("trainer_broken_rules", {"variant": variant, "level": level})


def run(
    settings: TrainerSettings, source_of: Any = RedisSource, *, only_if_changed: bool = False
) -> str:
    """Run once, and return how that ended."""
    runs = Runs(settings, threading.Event(), source_of)
    return runs.once(only_if_changed=only_if_changed, wait_for_lock_s=0)
