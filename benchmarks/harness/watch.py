"""What processes cost while a tool of load asks them: CPU of each kind, of the tool, of others."""

import resource
import time
from collections.abc import Mapping, Sequence

import psutil

from benchmarks.harness.cpu import read_clock, spent


class Watch:
    """Reads clocks when it is made, and again when it is asked for what was spent since."""

    def __init__(self, kinds: Mapping[str, Sequence[int]]) -> None:
        self._kinds = kinds
        self._pids = {str(pid): pid for pids in kinds.values() for pid in pids}
        self._before = read_clock(self._pids)
        self._own_s, self._load_s = time.process_time(), _children_s()

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of each kind of process, of the `load`, and of `others`.

        Children count with their process. The load is what this process ran since then and has
        seen end.
        """
        each = spent(self._before, read_clock(self._pids))
        kinds = {kind: sum(each[str(pid)] for pid in pids) for kind, pids in self._kinds.items()}
        load_s, own_s = _children_s() - self._load_s, time.process_time() - self._own_s
        # The load and this process take part as well.
        return {**kinds, "load": load_s, "others": max(0.0, each["others"] - load_s - own_s)}

    def rss_bytes(self, kind: str) -> int:
        """Return the memory that the processes of a kind hold, with their children."""
        roots = [psutil.Process(pid) for pid in self._kinds[kind]]
        every = [*roots, *(child for root in roots for child in root.children(recursive=True))]
        return sum(int(process.memory_info().rss) for process in every)


def _children_s() -> float:
    """Return the CPU seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
