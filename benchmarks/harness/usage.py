"""What processes use: the CPU of those that take part and of everything else, and memory."""

import contextlib
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

_MACHINE = "machine"


def read_clock(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds so far of each process, by name, and of the whole `machine`."""
    return {
        **{name: _of_tree(psutil.Process(pid)) for name, pid in pids.items()},
        _MACHINE: _busy(),
    }


def spent(since: Mapping[str, float], until: Mapping[str, float]) -> dict[str, float]:
    """Return the CPU seconds between two readings, those of `others` included.

    >>> before = {"worker": 0.0, "store": 1.0, "machine": 0.0}
    >>> spent(before, {"worker": 3.0, "store": 1.5, "machine": 5.0})
    {'worker': 3.0, 'store': 0.5, 'others': 1.5}
    """
    each = {name: until[name] - since[name] for name in until}
    machine = each.pop(_MACHINE)
    # The two clocks tick apart: a little below zero means none.
    return {**each, "others": max(0.0, machine - sum(each.values()))}


class Watch:
    """Reads clocks when it is made, and again when it is asked for what was spent since."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before = read_clock(pids)
        self._own_s, self._load_s = time.process_time(), _children_s()

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of each process, of the `load`, and of `others`.

        The load is what this process ran since then and has seen end.
        """
        each = spent(self._before, read_clock(self._pids))
        load_s, own_s = _children_s() - self._load_s, time.process_time() - self._own_s
        # The load and this process take part as well.
        return {**each, "load": load_s, "others": max(0.0, each["others"] - load_s - own_s)}


def rss_bytes(pid: int) -> int:
    """Return the memory that a process and its children hold."""
    process = psutil.Process(pid)
    every = (process, *process.children(recursive=True))
    return sum(int(one.memory_info().rss) for one in every)


def peak_bytes(process: int | str = "self") -> int:
    """Return the most memory that a process had at once; 0 when it has ended.

    `process` is its id or, as in `/proc`, "self".
    """
    with contextlib.suppress(ProcessLookupError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0


def _of_tree(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of its children: a server may be one's child.

    Children of this process are those that it measures, and count by themselves.
    """
    children = [] if process.pid == os.getpid() else process.children(recursive=True)
    times = [one.cpu_times() for one in (process, *children)]
    return sum(one.user + one.system for one in times)


def _busy() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # The guests' time is in that of user already.
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - guest)


def _children_s() -> float:
    """Return the CPU seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
