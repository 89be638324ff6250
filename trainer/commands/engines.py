"""The source that `once` learns from, by command-line options."""

import enum
import threading
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

import typer

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from runtime.settings import read_settings
from trainer.source import RedisSource, Source, SourceError

SourceOf = Callable[[Store, Keyspace], Source]
LOCAL: Final = "local[*]"


class Engine(enum.StrEnum):
    """What makes the counts."""

    REDIS = "redis"
    SPARK = "spark"


EngineName = Annotated[
    Engine,
    typer.Option(help="redis: the workers' counts; spark: counts rebuilt from the archive"),
]
Master = Annotated[
    str | None, typer.Option(help=f"of Spark, such as spark://host:7077; {LOCAL} without")
]
SnapshotId = Annotated[
    int | None,
    typer.Option("--snapshot", help="of the archive's interactions; the current one without"),
]


def source_of(
    engine: Engine, master: str | None, snapshot: int | None, stop: threading.Event
) -> SourceOf:
    """Return the source that the options name.

    Raises:
        ValueError: they conflict, or a setting is invalid.
        SourceError: the archive or its packages are missing.
    """
    if engine is Engine.SPARK:
        return _spark_source(master or LOCAL, snapshot, stop)
    if (master, snapshot) != (None, None):
        raise ValueError("--master and --snapshot need --engine spark")
    return RedisSource


def _spark_source(master: str, snapshot_id: int | None, stop: threading.Event) -> SourceOf:
    try:
        from trainer.spark.checking import check_archive
        from trainer.spark.session import session
        from trainer.spark.snapshot import read_snapshot
        from trainer.spark.source import Archived, SparkSettings, SparkSource
    except ModuleNotFoundError as error:
        raise SourceError(
            f"--engine spark needs the package {error.name}: install requirements-spark.lock, or "
            "the extras trainer, archive, spark and quality"
        ) from error
    settings = read_settings(SparkSettings)
    snapshot = read_snapshot(settings.archive, snapshot_id)
    check_archive(settings.archive, snapshot.id)
    archived = Archived(partial(session, master, stop), snapshot, settings.folding())
    return partial(SparkSource, archived=archived)
