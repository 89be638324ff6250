"""A wall clock for a Python program that can be set while it runs.

`python -m tests.chaos.clock FILE MODULE` runs a module whose clock is off by as many seconds as the
file says. Only Python's clock is off: native threads such as librdkafka's wait by the system clock,
which replacing libc's clock would desynchronize.
"""

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_NS: Final = 1_000_000_000


class Clock:
    """Of one process, right until it is set; the monotonic clock runs on."""

    def __init__(self, file: Path) -> None:
        """Take where the process is to look up how far off it is."""
        self._file = file
        self.set_off_by(0)

    def run(self, module: str) -> tuple[str, ...]:
        """Return the command that runs a module by this clock."""
        return (sys.executable, "-m", "tests.chaos.clock", str(self._file), module)

    def set_off_by(self, seconds: int) -> None:
        """Set the clock ahead, or back if negative; the process notices at once."""
        half_done = self._file.with_suffix(".new")
        half_done.write_text(str(seconds))
        half_done.rename(self._file)


def _off_by(file: Path) -> tuple[Callable[[], float], Callable[[], int]]:
    """Return `time.time` and `time.time_ns` as the file has them."""
    right_time, right_time_ns = time.time, time.time_ns
    return (
        lambda: right_time() + int(file.read_text()),
        lambda: right_time_ns() + int(file.read_text()) * _NS,
    )


if __name__ == "__main__":
    _, clock_file, program = sys.argv
    time.time, time.time_ns = _off_by(Path(clock_file))
    sys.argv = [program]
    runpy.run_module(program, run_name="__main__", alter_sys=True)
