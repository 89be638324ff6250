"""CPU seconds: of the processes that take part, and of everything else on the machine."""

import os
from collections import defaultdict
from collections.abc import Mapping

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

    Processes that differ in a number after a dash count as one.

    >>> before = {"worker-1": 0.0, "worker-2": 0.0, "store": 1.0, "machine": 0.0}
    >>> spent(before, {"worker-1": 1.0, "worker-2": 2.0, "store": 1.5, "machine": 5.0})
    {'worker': 3.0, 'store': 0.5, 'others': 1.5}
    """
    each: dict[str, float] = defaultdict(float)
    for name in until:
        each[name.partition("-")[0]] += until[name] - since[name]
    machine = each.pop(_MACHINE)
    # The two clocks tick apart: a little below zero means none.
    return {**each, "others": max(0.0, machine - sum(each.values()))}


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
