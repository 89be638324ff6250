"""The archive as a process waits while servers are away, and ends when its loop stands still."""

import itertools
import subprocess
import sys
import threading
from unittest.mock import Mock

import pytest

from archive import __main__ as program
from archive import service as states
from archive.service import STALLED_AFTER_S, State
from archive.settings import ArchiveSettings
from tests.patience import PATIENCE_S


def test_an_archive_without_a_catalog_at_start_waits_and_is_not_stalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or Kubernetes would start it again and again, and the log would not say for what it waits."""
    seconds = itertools.count(step=0.6 * STALLED_AFTER_S)
    monkeypatch.setattr(states, "time", Mock(monotonic=seconds.__next__))
    monkeypatch.setattr(threading.Event, "wait", lambda *_: False)
    state, is_healthy = State(), []

    def opened(_: ArchiveSettings) -> str:
        is_healthy.append(not state.is_stalled)
        if len(is_healthy) < 4:
            raise ConnectionError("away")
        return "the catalog"

    monkeypatch.setattr(program, "_open_tables", opened)

    assert program.await_catalog(ArchiveSettings(), state, threading.Event()) == "the catalog"
    assert is_healthy == [True] * 4
    assert state.waits_for is None


PROGRAM = """
import threading
from archive.service import watch
from archive.service import State

looked = threading.Semaphore(0)

class Looked(State):
    @property
    def is_stalled(self):
        looked.release()
        return {is_stalled}

watch(Looked(), end_after_s=0.05, look_every_s=0.01)
for _ in range(100):
    looked.acquire()
"""


@pytest.mark.parametrize(("is_stalled", "code"), [(True, 1), (False, 0)])
def test_a_loop_that_stands_still_ends_the_process_and_one_that_goes_on_does_not(
    *, is_stalled: bool, code: int
) -> None:
    command = [sys.executable, "-c", PROGRAM.format(is_stalled=is_stalled)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == code, done.stderr
    assert ("ending, so that a new process is started" in done.stdout) == is_stalled
