"""Contenders that fail are reported, and workers share all partitions."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness.contender import ContenderError, Process, awaited, started
from benchmarks.harness.workers import shared
from contracts.topics import QUOTES, STREAMED
from infra.local.metrics import Samples
from infra.local.process import Command, stop
from runtime.topology import Topology

TOPOLOGY = Topology(**{topic.name: 8 for topic in STREAMED})


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Process]:
    argv = (sys.executable, "-c", "import signal; signal.pause()")
    process = started(Command("worker-1", argv, tmp_path / "log"))
    try:
        yield process
    finally:
        stop(process)


def test_a_contender_that_ended_is_reported_with_its_log(tmp_path: Path) -> None:
    process = started(Command("worker-1", (sys.executable, "-c", "exit(3)"), tmp_path / "log"))
    process.popen.wait()
    with pytest.raises(ContenderError, match=r"worker-1 ended with exit code 3: see .*log"):
        awaited(lambda: None, "its work", process)


def test_a_contender_that_hangs_is_reported_with_its_log(worker: Process) -> None:
    with pytest.raises(ContenderError, match=r"its work took more than 0 s: see .*log"):
        awaited(lambda: None, "its work", worker, within_s=0)


def samples(quotes: int, others: int | None = None) -> Samples:
    others = quotes if others is None else others
    return {
        ("partitions_assigned", topic.name): float(quotes if topic is QUOTES else others)
        for topic in STREAMED
    }


def test_workers_share_the_partitions_when_each_has_some_and_none_is_left_over() -> None:
    assert shared([samples(8)], TOPOLOGY, 1)
    assert shared([samples(5, 4), samples(3, 4)], TOPOLOGY, 2)
    assert not shared([samples(8)], TOPOLOGY, 2)
    assert not shared([samples(8), samples(0)], TOPOLOGY, 2)
    assert not shared([samples(4), samples(3)], TOPOLOGY, 2)
    assert not shared([samples(4), samples(4, 3)], TOPOLOGY, 2)
    assert not shared([samples(8), samples(4)], TOPOLOGY, 2)
