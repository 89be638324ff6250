"""Archives are killed at any moment, under load: each record comes to stand in its table once.

Two archives share the topics. Kills come at random, and when a file was written that no snapshot
has yet; compactions run in between, and are killed as well. `TICKREC_TEST_KILLS` says how many
kills there are. DuckDB counts the Parquet files of the last snapshot.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from archive.reading.broker import Broker
from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from tests.archive.conftest import PARTITIONS, Setup
from tests.archive.samples import interaction, now_ms, quotes
from tests.kafka_log import feeding
from tests.patience import eventually

pytestmark = pytest.mark.slow

KILLS: Final = int(os.environ.get("TICKREC_TEST_KILLS", "10"))
BATCH: Final = 200


def fed(setup: Setup) -> AbstractContextManager[list[int]]:
    """Publish quotes and as many events for the block; yield how many, which keeps growing."""

    def publish(numbers: range) -> None:
        ts = now_ms()
        events = [
            interaction(f"u{i % 40}", i % 50, ts, price=1.0, quantity=i + 1.0) for i in numbers
        ]
        setup.publish([*quotes(len(numbers), numbers.start), *events])

    return feeding(publish, BATCH)


class Processes:
    """Archives as their users start them."""

    def __init__(self, setup: Setup, folder: Path) -> None:
        self._setup, self._folder, self._n = setup, folder, 0
        self.log = folder / "archive.log"

    def start(self, command: str = "run") -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "archive", command],
                env=os.environ | self._setup.environment(ARCHIVE_FLUSH_INTERVAL_S="0.3"),
                stderr=log,
            )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def end(self, process: subprocess.Popen[bytes]) -> None:
        started = f'"message": "started".*"pid": {process.pid}}}'
        eventually(lambda: bool(re.search(started, self.log.read_text())), "its start")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0, self.log.read_text()[-3_000:]


def files_of(setup: Setup) -> set[Path]:
    return set(Path(setup.config.warehouse).rglob("*.parquet"))


def wait_for_a_moment(setup: Setup, chance: random.Random) -> None:
    """Return at a random moment, or as soon as a file was written."""
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, 4))
        return
    before = files_of(setup)
    eventually(lambda: files_of(setup) != before, "a new file")


def covered(setup: Setup, table: ArchiveTable) -> bool:
    bounds = Broker(setup.kafka).bounds(table.topic.name, range(PARTITIONS))
    return {p: b.end for p, b in bounds.items()} == setup.covered(table)


def numbered_events(setup: Setup) -> list[float]:
    return sorted(number - 1 for (number,) in setup.rows(INTERACTIONS_TABLE, "quantity"))


def test_killed_anywhere_nothing_is_lost_or_twice(setup: Setup, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}, {KILLS} kills")
    chance, processes = random.Random(seed), Processes(setup, tmp_path)
    archives = [processes.start(), processes.start()]
    compactions: list[subprocess.Popen[bytes]] = []
    with fed(setup) as published:
        for n in range(KILLS):
            if n % 3 == 1:
                compactions.append(processes.start("compact"))
            wait_for_a_moment(setup, chance)
            victim = chance.randrange(2)
            processes.kill(archives[victim])
            if n % 3 == 2 and chance.random() < 0.5:
                processes.kill(compactions[-1])
            archives[victim] = processes.start()
    for compaction in compactions:
        compaction.wait()
    for table in (QUOTES_TABLE, INTERACTIONS_TABLE):
        eventually(lambda table=table: covered(setup, table), f"all of {table.name}")
    for archive in archives:
        processes.end(archive)
    numbers = list(range(published[0]))
    assert setup.sizes() == numbers
    assert numbered_events(setup) == numbers
    places = setup.rows(QUOTES_TABLE, 'log, partition, "offset"')
    assert len(set(places)) == len(places)
    print(f"{published[0]:,} quotes and as many events, each once")
