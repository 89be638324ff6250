"""Processor sharing: what several threads get of a machine's cores. Simulated.

Runnable threads share the cores evenly, none gets more than one: Linux's fair scheduler over more
than a few milliseconds. Where each process is pinned to a core of its own, a
machine of one core is that core.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Generator
from typing import Any, Final

import simpy

Steps = Generator[simpy.Event, Any, None]
"""A process of the simulation."""

_ROUNDING_S: Final = 1e-12


class Cores:
    """Some cores, shared evenly by the jobs on them.

    Time is kept as the work that each job has had: all that are there get the same, so the next one
    to end is the one that needs least.
    """

    def __init__(self, env: simpy.Environment, n: int) -> None:
        self.env = env
        self.busy_s = 0.0
        """core seconds that were used"""
        self._n = n
        self._jobs: list[tuple[float, int, simpy.Event]] = []
        self._numbers = itertools.count()
        self._had_s = 0.0
        self._at_s = 0.0
        self._alarm = 0

    def work(self, seconds: float, done: simpy.Event | None = None) -> simpy.Event:
        """Return what happens when a thread has had so many seconds of a core: `done`, if given."""
        self._advance()
        done = done or self.env.event()
        heapq.heappush(self._jobs, (self._had_s + seconds, next(self._numbers), done))
        self._set_alarm()
        return done

    @property
    def _speed(self) -> float:
        return min(1.0, self._n / len(self._jobs))

    def _advance(self) -> None:
        elapsed_s = self.env.now - self._at_s
        if self._jobs:
            self._had_s += elapsed_s * self._speed
            self.busy_s += elapsed_s * min(self._n, len(self._jobs))
        self._at_s = self.env.now

    def _set_alarm(self) -> None:
        """Wake up when the next job ends, unless another one comes or ends before."""
        self._alarm += 1
        if self._jobs:
            left_s = max(0.0, self._jobs[0][0] - self._had_s)
            ends = self.env.timeout(left_s / self._speed, self._alarm)
            assert ends.callbacks is not None  # until it has happened
            ends.callbacks.append(self._end)

    def _end(self, alarm: simpy.Event) -> None:
        if alarm.value != self._alarm:
            return
        self._advance()
        while self._jobs and self._jobs[0][0] <= self._had_s + _ROUNDING_S:
            heapq.heappop(self._jobs)[2].succeed()
        self._set_alarm()


class Thread:
    """Does one job after the other, first come first served, on cores that it may share.

    One that has nothing to do takes `wake_s` to notice a job; this costs no core's time.
    """

    def __init__(self, cores: Cores, wake_s: float = 0.0) -> None:
        self.cores = cores
        self._wake_s = wake_s
        self.busy_s = 0.0
        """work that was given to it"""
        self._waiting: deque[tuple[float, simpy.Event]] = deque()
        self._is_busy = False

    def run(self, seconds: float) -> simpy.Event:
        """Return what happens when it has come to this job, and has done it."""
        done = self.cores.env.event()
        assert done.callbacks is not None
        done.callbacks.append(self._go_on)
        self.busy_s += seconds
        if self._is_busy:
            self._waiting.append((seconds, done))
        else:
            self._is_busy = True
            self._wake(seconds, done)
        return done

    def _wake(self, seconds: float, done: simpy.Event) -> None:
        if not self._wake_s:
            self.cores.work(seconds, done)
            return

        def begin(_: simpy.Event) -> None:
            self.cores.work(seconds, done)

        awake = self.cores.env.timeout(self._wake_s)
        assert awake.callbacks is not None
        awake.callbacks.append(begin)

    def _go_on(self, _: simpy.Event) -> None:
        if self._waiting:
            self.cores.work(*self._waiting.popleft())
        else:
            self._is_busy = False
