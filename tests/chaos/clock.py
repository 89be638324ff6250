"""A worker whose wall clock can be set while it runs, and whose flushes take several calls.

`python -m tests.chaos.clock FILE` runs it, with a clock that is off by as many seconds as the file
says; `CHUNK_COST` in its environment says how little one call may write. Only Python's clock is
off: native threads such as librdkafka's wait by the system clock, which replacing libc's would
desynchronize.
"""

import os
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

    def worker(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "tests.chaos.clock", str(self._file))

    def set_off_by(self, seconds: int) -> None:
        """Set the clock ahead, or back if negative; the process notices at once."""
        half_done = self._file.with_suffix(".new")
        half_done.write_text(str(seconds))
        half_done.rename(self._file)


def _off_by(file: Path) -> tuple[Callable[[], float], Callable[[], int]]:
    right_time, right_time_ns = time.time, time.time_ns
    return (
        lambda: right_time() + int(file.read_text()),
        lambda: right_time_ns() + int(file.read_text()) * _NS,
    )


if __name__ == "__main__":
    time.time, time.time_ns = _off_by(Path(sys.argv.pop()))
    # Their modules may take the clock as they are imported.
    from stream_processors.__main__ import main
    from stream_processors.store.store import Store

    Store.chunk_cost = int(os.environ["CHUNK_COST"])
    main()
