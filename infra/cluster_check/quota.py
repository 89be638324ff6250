"""Limits the CPU of processes like a container's limit: a quota in each period."""

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Final, Self

_PERIOD_S: Final = 0.1
"""The kernel's default for containers."""
_LOOK_EVERY_S: Final = 0.01
_PER_PROCESS_CLOCK: Final = 2
"""CPUCLOCK_SCHED of Linux: of which clock_getcpuclockid(3) makes a process's clock."""


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds.

    Raises:
        OSError: there is no such process.
    """
    return time.clock_gettime((~pid << 3) | _PER_PROCESS_CLOCK)


class Quota:
    """Stops each process for the rest of a period once it has used its share."""

    def __init__(self, share: float) -> None:
        """Give each process this share of a core."""
        self._allowed_s = share * _PERIOD_S
        self._spent_s: dict[int, float] = {}
        self._stopped: set[int] = set()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="quota", daemon=True)

    def __enter__(self) -> Self:
        """Start watching."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let all processes continue."""
        self._ends.set()
        self._thread.join()
        for pid in list(self._spent_s):
            self.release(pid)

    def limit(self, pid: int) -> None:
        """Limit a process from now on."""
        with self._lock:
            self._spent_s.setdefault(pid, cpu_s(pid))

    def release(self, pid: int) -> None:
        """Stop limiting a process."""
        with self._lock:
            self._spent_s.pop(pid, None)
            self._stopped.discard(pid)
            _signal(pid, signal.SIGCONT)

    def _watch(self) -> None:
        period_ends_s = time.monotonic() + _PERIOD_S
        while not self._ends.wait(_LOOK_EVERY_S):
            with self._lock:
                if time.monotonic() >= period_ends_s:
                    period_ends_s = time.monotonic() + _PERIOD_S
                    self._begin_period()
                self._stop_those_that_had_theirs()

    def _begin_period(self) -> None:
        for pid in self._stopped:
            _signal(pid, signal.SIGCONT)
        self._stopped.clear()
        for pid, spent_s in list(self._spent_s.items()):
            with suppress(OSError):
                # Use beyond the share, due to late polls, is deducted later.
                self._spent_s[pid] = max(spent_s + self._allowed_s, cpu_s(pid) - self._allowed_s)
                continue
            del self._spent_s[pid]

    def _stop_those_that_had_theirs(self) -> None:
        for pid, spent_s in self._spent_s.items():
            with suppress(OSError):
                if pid not in self._stopped and cpu_s(pid) - spent_s >= self._allowed_s:
                    _signal(pid, signal.SIGSTOP)
                    self._stopped.add(pid)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
