"""An archive whose loop stands still ends, so that it is started again."""

import subprocess
import sys

import pytest

from tests.patience import PATIENCE_S

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
