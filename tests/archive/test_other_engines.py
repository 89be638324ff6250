"""Another engine rewrites a table's files and expires our snapshots: the archive goes on."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE
from runtime.archive.positions import PositionsError
from tests.archive.conftest import Setup
from tests.archive.rest.server import jars_of
from tests.archive.tables import TODAY_US, Tables
from tests.archive.test_chaos import Processes, covered, fed, numbered_events
from tests.patience import eventually
from trainer.spark.snapshot import read_snapshot

EVENT: Final = {"user_id": "a", "event": "view", "ts": TODAY_US}
KILLS: Final = 4
PROCEDURES: Final = (
    "rewrite_data_files(table => '{}', options => map('rewrite-all', 'true'))",
    "expire_snapshots(table => '{}', older_than => TIMESTAMP '2100-01-01 00:00:00')",
)


def rewrite_and_expire(tables: Tables) -> None:
    found = tables.found(INTERACTIONS_TABLE)
    found.overwrite(found.scan().to_arrow())
    current = found.refresh().current_snapshot()
    replaced = [s.snapshot_id for s in found.snapshots() if s != current]
    found.maintenance.expire_snapshots().by_ids(replaced).commit()


def test_positions_outlive_the_snapshots_that_had_them(tables: Tables) -> None:
    for rows in (3, 6):
        tables.commit(INTERACTIONS_TABLE, [EVENT] * 3)
        rewrite_and_expire(tables)
        assert tables.positions(INTERACTIONS_TABLE)[0].next == rows
        snapshot = read_snapshot(tables.config, None)
        assert (snapshot.rows, snapshot.positions[0].next) == (rows, rows)


def test_after_a_rollback_the_later_positions_never_count(tables: Tables) -> None:
    tables.commit(INTERACTIONS_TABLE, [EVENT] * 3)
    tables.commit(INTERACTIONS_TABLE, [EVENT] * 2)
    found = tables.found(INTERACTIONS_TABLE)
    first = found.snapshots()[0].snapshot_id
    found.manage_snapshots().rollback_to_snapshot(first).commit()
    assert tables.positions(INTERACTIONS_TABLE)[0].next == 3
    rewrite_and_expire(tables)
    with pytest.raises(PositionsError, match="its properties have none for 3 rows"):
        tables.positions(INTERACTIONS_TABLE)


@pytest.fixture
def spark(setup: Setup) -> Iterator[Any]:
    """A session of Spark whose catalog `archive` is ours."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed: `make spark` does")
    jars = jars_of(Path(__file__).with_name("spark-pom.xml"), "iceberg-spark")
    ours, warehouse = "spark.sql.catalog.archive", setup.config.warehouse
    options = {
        "spark.jars": ",".join(map(str, jars.glob("*.jar"))),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        ours: "org.apache.iceberg.spark.SparkCatalog",
        f"{ours}.type": "jdbc",
        f"{ours}.uri": f"jdbc:sqlite:{warehouse}/catalog.db?busy_timeout=30000",
        f"{ours}.warehouse": f"file://{warehouse}",
        f"{ours}.jdbc.schema-version": "V1",
        f"{ours}.cache-enabled": "false",
    }
    session = sql.SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    yield session
    session.stop()


def maintain_by_spark(spark: Any) -> None:
    for table in (INTERACTIONS_TABLE, QUOTES_TABLE):
        for procedure in PROCEDURES:
            spark.sql("CALL archive.system." + procedure.format(f"archive.tickrec.{table.name}"))


def covered_records(setup: Setup) -> int:
    return sum(setup.covered(INTERACTIONS_TABLE).values())


@pytest.mark.slow
def test_killed_amid_sparks_maintenance_nothing_is_lost_or_twice(
    setup: Setup, tmp_path: Path, spark: Any
) -> None:
    setup.opened()
    processes = Processes(setup, tmp_path)
    archive = processes.start()
    with fed(setup) as published, ThreadPoolExecutor() as pool:
        for _ in range(KILLS):
            before = covered_records(setup)
            eventually(lambda before=before: covered_records(setup) > before, "new rows")
            during = pool.submit(maintain_by_spark, spark)
            time.sleep(random.uniform(0, 5))
            processes.kill(archive)
            # It may have lost a race to a commit of ours.
            during.exception()
            maintain_by_spark(spark)
            (snapshot,) = setup.found(INTERACTIONS_TABLE).snapshots()
            assert snapshot.summary
            assert snapshot.summary["tickrec.positions"] is None
            archive = processes.start()
    for table in (QUOTES_TABLE, INTERACTIONS_TABLE):
        eventually(lambda table=table: covered(setup, table), f"all of {table.name}")
    processes.end(archive)
    assert setup.sizes() == numbered_events(setup) == list(range(published[0]))
