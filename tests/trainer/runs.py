"""Runs of the trainer in this process, and what they left in the store."""

import threading
from typing import Any, TypeVar

import msgspec

from contracts.generations import DEFAULT_VARIANT, Current, Served
from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from trainer.generations.decisions import read_report
from trainer.generations.publication import read_current
from trainer.generations.report import Report
from trainer.run.runs import Runs
from trainer.settings import TrainerSettings
from trainer.source import RedisSource

T = TypeVar("T")


def run(
    settings: TrainerSettings, *, only_if_changed: bool = True, source_of: Any = RedisSource
) -> str:
    """Run once, and return how that ended."""
    runs = Runs(settings, threading.Event(), source_of)
    return runs.once(only_if_changed=only_if_changed, wait_for_lock_s=0)


def current_of(store: Store, keyspace: Keyspace) -> Current:
    current = read_current(store, keyspace)
    assert current is not None
    return current


def served(store: Store, keyspace: Keyspace, variant: str = DEFAULT_VARIANT) -> Served:
    return current_of(store, keyspace).variants[variant]


def report_of(store: Store, keyspace: Keyspace, variant: str = DEFAULT_VARIANT) -> Report:
    report = read_report(store, keyspace, served(store, keyspace, variant).generation)
    assert report is not None
    return report


def read(store: Store, key: str, of_type: type[T]) -> T:
    return msgspec.json.decode(str(store.get(key)), type=of_type)
