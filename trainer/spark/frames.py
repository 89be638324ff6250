"""The steps on Spark: events to histories, histories to counts, and what of them comes here.

Each step is a stream of batches, and what lies between two steps is on disk: an executor's memory
does not depend on how many events, users or pairs there are.
"""

from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (as everybody calls it)

from contracts.messages import Ints
from runtime.settings import FoldingSettings
from trainer.spark import cooccurrences, events, histories
from trainer.spark.snapshot import Snapshot

EVENTS_PER_TASK: Final = 1_000_000
"""Which one task reads, and one sorts: some 100 MB, on disk where memory has no room."""
PAIRS_PER_TASK: Final = 4_000_000
"""Which one task adds up, by their number before the blocks have counted them."""
TASKS_MOST: Final = 10_000
USERS_AT_ONCE: Final = 2_000
"""Histories in a batch to here: each has up to `HISTORY_CAP` items."""
_NUMBER_BYTES: Final = 8


class Extent(NamedTuple):
    """How much there is of histories."""

    users: int
    pairs: float
    """of items that a user has both, an item with itself among them, summed up over users"""


def histories_of(spark: SparkSession, snapshot: Snapshot, rules: FoldingSettings) -> DataFrame:
    """Return the histories of all users of a snapshot: `trainer.spark.histories.SCHEMA`.

    They are made when they are first asked for, and then kept on the executors' disks.
    """
    n, tasks = len(snapshot.files), _tasks(spark, snapshot.rows / EVENTS_PER_TASK)
    _share(spark, tasks)
    # A task has several files where these are small: to start one takes longer than to read them.
    files = spark.range(0, n, numPartitions=max(1, min(n, tasks)))
    read = partial(
        events.read_events,
        io=snapshot.io,
        files=snapshot.files,
        event_weights=rules.weights_of_types(),
    )
    fold = partial(histories.fold_histories, rules=rules)
    return (
        files.mapInArrow(read, events.SCHEMA)
        .repartition(tasks, "user")
        .sortWithinPartitions("user", "log", "partition", "offset")
        .mapInArrow(fold, histories.SCHEMA)
        .persist(StorageLevel.DISK_ONLY)
    )


def extent_of(made: DataFrame) -> Extent:
    """Return how much there is of histories."""
    n = F.length("items") / _NUMBER_BYTES
    (row,) = made.agg(F.count("*"), F.sum(n * (n + 1) / 2)).collect()
    return Extent(row[0], row[1] or 0.0)


def items_of(made: DataFrame) -> Ints:
    """Return the ids of all items that anyone has, (n_items,), ascending."""
    found = made.select("items").mapInArrow(cooccurrences.items_of, "item long").distinct()
    ids: Ints = np.sort(found.toArrow()["item"].to_numpy())
    return ids


def cells_of(spark: SparkSession, made: DataFrame, items: Ints, pairs: float) -> pa.Table:
    """Return the cells of G's upper triangle, and the counts there, each cell once.

    Args:
        spark: the session.
        made: histories.
        items: (n_items,) ids, ascending.
        pairs: as in `Extent`.
    """
    ids = spark.sparkContext.broadcast(items)
    count = partial(cooccurrences.count_blocks, items=ids)
    _share(spark, _tasks(spark, pairs / PAIRS_PER_TASK))
    counted = made.select("scale", "items", "affinities").mapInArrow(count, cooccurrences.SCHEMA)
    return counted.groupBy("cell").agg(F.sum("count").alias("count")).toArrow()


def latest_of(spark: SparkSession, made: DataFrame, users: int, of: int) -> pa.Table:
    """Return the histories of the `users` latest active of all users, in any order.

    Equally late ones go by id, down.
    """
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", USERS_AT_ONCE)
    if users < of:
        # Who is the last of them is found out first, without the histories.
        by_time = made.select("last_ts_ms", "user").orderBy(F.desc("last_ts_ms"), F.desc("user"))
        marks = by_time.limit(users).toArrow()
        times, names = marks["last_ts_ms"].to_pylist(), marks["user"].to_pylist()
        last_ts_ms, user = min(zip(times, names, strict=True), default=(np.iinfo(np.int64).max, ""))
        time, name = F.col("last_ts_ms"), F.col("user")
        made = made.where((time > last_ts_ms) | ((time == last_ts_ms) & (name >= user)))
    return made.toArrow()


def _share(spark: SparkSession, tasks: int) -> None:
    """Let so many tasks share what is grouped from now on."""
    spark.conf.set("spark.sql.shuffle.partitions", tasks)


def _tasks(spark: SparkSession, wanted: float) -> int:
    """Return how many tasks share some work: no fewer than there are cores."""
    cores: int = spark.sparkContext.defaultParallelism
    return min(max(int(wanted) + 1, cores), TASKS_MOST)
