"""Contenders that fail, or cannot run here, are reported."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness.contender import ContenderError, Process, awaited, started
from benchmarks.peers.engines import Engine, program
from infra.local.process import Command, stop


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


def test_flink_reports_a_missing_jdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContenderError, match="no javac on PATH: install a JDK of 17 or newer"):
        program(Engine.FLINK, tmp_path)
