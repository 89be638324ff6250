"""CPU seconds: of the processes that take part, and of everything else on the machine."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Clock:
    """CPU seconds so far."""

    of: Mapping[str, float]
    """by the names of the processes"""
    machine: float


def read_clock(pids: Mapping[str, int]) -> Clock:
    """Return the CPU seconds so far of each process, and of the whole machine."""
    return Clock(
        {name: _of_tree(psutil.Process(pid)) for name, pid in pids.items()},
        _busy(),
    )


def spent(since: Clock, until: Clock) -> dict[str, float]:
    """Return the CPU seconds between two readings, those of `others` included.

    >>> spent(Clock({"worker": 1.0}, 5.0), Clock({"worker": 3.0}, 10.0))
    {'worker': 2.0, 'others': 3.0}
    """
    ours = {name: until.of[name] - since.of[name] for name in until.of}
    # The two clocks tick apart: a little below zero means none.
    return {**ours, "others": max(0.0, until.machine - since.machine - sum(ours.values()))}


def _of_tree(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of its children: a server may be one's child."""
    seconds = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        seconds += times.user + times.system
    return seconds


def _busy() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # The guests' time is in that of user already.
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - guest)
