import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import crew
from benchmarks.crew import Crew
from benchmarks.stage import ContenderError
from infra.local.process import Command, start, stop


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Crew]:
    command = Command(
        "worker-1", (sys.executable, "-c", "import signal; signal.pause()"), tmp_path / "log"
    )
    process = start(command)
    try:
        yield Crew({"worker-1": (process, command)}, [])
    finally:
        stop((process, command))


def status_change(workers: Crew, awaited: int) -> int:
    """Return what becomes of the worker; the kernel tells each change once."""
    (pid,) = workers.pids.values()
    _, status = os.waitpid(pid, awaited)
    return status


def test_workers_stand_still_within_the_block_and_go_on_after_it(workers: Crew) -> None:
    with workers.standing_still():
        assert os.WIFSTOPPED(status_change(workers, os.WUNTRACED))
    assert os.WIFCONTINUED(status_change(workers, os.WCONTINUED))


def test_workers_go_on_when_the_block_fails(workers: Crew) -> None:
    def fail() -> None:
        with workers.standing_still():
            status_change(workers, os.WUNTRACED)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.WIFCONTINUED(status_change(workers, os.WCONTINUED))


def test_workers_that_stood_still_for_too_long_measure_nothing(
    workers: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_STILL_AT_MOST_S", 0)
    with (
        pytest.raises(ContenderError, match="publish fewer with --quotes"),
        workers.standing_still(),
    ):
        pass


def test_a_worker_that_ended_is_told_with_its_log(tmp_path: Path) -> None:
    command = Command("worker-1", (sys.executable, "-c", "exit(3)"), tmp_path / "log")
    process: subprocess.Popen[bytes] = start(command)
    process.wait()
    with pytest.raises(ContenderError, match="worker-1 ended with exit code 3"):
        Crew({"worker-1": (process, command)}, []).check()
