"""`once --engine spark` as a process: it trains, is stopped, and says what fails."""

import json
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

from contracts.keyspace import Keyspace
from runtime.archive.config import ArchiveConfig
from runtime.redis.stores import Store
from tests.patience import PATIENCE_S
from tests.trainer.setup import note_topics
from tests.trainer.spark.logs import archive
from tests.trainer.spark.test_equality import log
from tests.trainer.test_process import process
from trainer.generations.publication import read_current

WITHIN_S = 5 * PATIENCE_S
"""A JVM and its Python workers start slowly on a busy machine."""

pytest.importorskip("pyspark", reason="pyspark is not installed: `make spark` runs this")


@pytest.fixture
def environment(
    environment: dict[str, str], store: Store, keyspace: Keyspace, config: ArchiveConfig
) -> dict[str, str]:
    """Of a trainer whose archive has the log, and whose workers have folded nothing yet."""
    note_topics(store, keyspace)
    return environment | {"ARCHIVE_WAREHOUSE": config.warehouse, "HISTORY_CAP": "12"}


def started(environment: dict[str, str], *options: str) -> Any:
    """A trainer that does not outlive the context; nor does its JVM, which has its input."""
    once = ("-m", "trainer", "once", "--engine", "spark", *options)
    return process(*once, environment=environment)


def said(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Return the lines of the trainer's log: Spark's are no JSON."""
    _, log = process.communicate(timeout=WITHIN_S)
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert lines, log
    return lines


def test_on_sigterm_it_cancels_the_spark_job(
    environment: dict[str, str], store: Store, keyspace: Keyspace, config: ArchiveConfig
) -> None:
    archive(config, [log()])
    with started(environment, "--master", "local[2]") as process:
        give_up = time.monotonic() + WITHIN_S
        while not any("java" in each.name() for each in psutil.Process(process.pid).children()):
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert said(process)[-1]["message"] == "stopped"
    assert process.returncode == 1
    assert read_current(store, keyspace) is None
