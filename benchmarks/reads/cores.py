"""Which core runs what: children inherit it from this process, from their first moment on."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from benchmarks.harness.contender import ContenderError

_CORES_NEEDED: Final = 2


def server_and_load() -> tuple[int, int]:
    """Return the core of the server that is asked, and the one of the store and of wrk.

    Raises:
        ContenderError: there is only one.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < _CORES_NEEDED:
        raise ContenderError(
            f"reads needs {_CORES_NEEDED} cores, one for the server and one for the load, "
            f"but this process may use only {cores}: run it on a larger machine"
        )
    return cores[0], cores[1]


@contextlib.contextmanager
def on(*cores: int) -> Iterator[None]:
    """Let this process, and whatever it starts within the block, run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
