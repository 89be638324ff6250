"""On data that nobody here made, the lists of Spark are those of Redis."""

import csv
import dataclasses
import gzip
from pathlib import Path

import pytest

from contracts.affinities import affinity_of
from contracts.keyspace import Keyspace
from contracts.partitioning import user_partition
from runtime.archive.config import ArchiveConfig
from runtime.redis.stores import Store
from runtime.settings import FoldingSettings
from stream_processors.histories.rules import HistoryRules
from tests.trainer.setup import run
from tests.trainer.spark.conftest import SessionOf
from tests.trainer.spark.logs import Record, archive, folded
from tests.trainer.spark.streamed import PARTITIONS, note_topics, put
from tests.trainer.spark.test_equality import assert_same, lists_of, source_of
from trainer.settings import TrainerSettings

DATA = Path(__file__).parents[4] / "shared" / "data"
CAP = 500

pytestmark = pytest.mark.slow


def log(path: Path) -> list[Record]:
    """Return the rows of a file as a log; the games' times are no more than an order."""
    offsets, records = [0] * PARTITIONS, []
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            partition = user_partition(row["user_id"], PARTITIONS)
            ts_ms, item = int(row["ts_ms"]), int(row["instrument_id"])
            record = Record(partition, offsets[partition], row["user_id"], item, "trade", ts_ms)
            offsets[partition] += 1
            records.append(record)
    return records


@pytest.mark.parametrize("name", ["interactions.csv.gz", "games.csv.gz"])
def test_lists_are_those_of_redis(
    name: str,
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    config: ArchiveConfig,
    spark: SessionOf,
) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"no {name} at {DATA}")
    records = log(DATA / name)
    archive(config, [records])
    other = dataclasses.replace(keyspace, namespace=f"{keyspace.namespace}-spark")
    for of in (keyspace, other):
        note_topics(store, of, {})
    put(store, keyspace, folded(records, HistoryRules(affinity_of("binary", 60), CAP)))

    assert run(settings) == "trained"
    of_spark = settings.model_copy(update={"namespace": other.namespace})
    assert run(of_spark, source_of(spark, config, FoldingSettings(history_cap=CAP))) == "trained"

    expected, lists = (lists_of(store, of)[1] for of in (keyspace, other))
    assert len(lists) > 5_000
    assert_same(lists, expected, exactly=True)
