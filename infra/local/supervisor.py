"""Keeps processes running: whatever ends is started again, after a pause that grows.

One thread, no callbacks: whoever owns a supervisor calls `tick` a few times a second.
"""

import enum
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from infra.local.process import Command, ended, start, stop

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_STABLE_AFTER_S: Final = 60.0
"""A process that ran as long begins with the first pause again."""


class State(enum.StrEnum):
    """What a process is up to."""

    RUNNING = "running"
    WAITING = "waiting"
    """it ended, and is started again after a pause"""
    DONE = "done"
    """it ended well, and was to run once"""


@dataclass(frozen=True, slots=True)
class Status:
    """A process as its supervisor sees it."""

    name: str
    state: State
    pid: int | None
    restarts: int
    exit_code: int | None
    """of the run before this one"""
    since_s: float
    """the clock's time of the last start or end"""
    log: str


@dataclass(slots=True)
class _Member:
    command: Command
    layer: int
    once: bool
    again_with: frozenset[str]
    process: subprocess.Popen[bytes] | None = None
    exit_code: int | None = None
    since_s: float = 0.0
    due_s: float = 0.0
    restarts: int = 0
    failures: int = 0

    @property
    def state(self) -> State:
        if self.process is not None:
            return State.RUNNING
        return State.DONE if self.once and self.exit_code == 0 else State.WAITING


def pause_s(failures: int) -> float:
    """Return how long to wait before the start that follows so many ends in a row.

    >>> [pause_s(failures) for failures in (1, 2, 3, 4, 100)]
    [0.5, 1.0, 2.0, 4.0, 30.0]
    """
    # The exponent is bounded, too: a float ends at 2**1024.
    return min(_FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE_S)


@dataclass(slots=True)
class Supervisor:
    """Starts, watches and stops processes."""

    clock: Callable[[], float] = time.monotonic
    _members: dict[str, _Member] = field(default_factory=dict)

    def add(
        self,
        command: Command,
        *,
        layer: int = 0,
        once: bool = False,
        again_with: frozenset[str] = frozenset(),
    ) -> subprocess.Popen[bytes]:
        """Start the process, and keep it running from now on.

        Args:
            command: its name must be new here.
            layer: a higher one stops first, and those of one layer at the same time.
            once: it is to end by itself with exit code 0; only otherwise is it started again.
            again_with: names of processes with whose every restart it is to run again.
        """
        if command.name in self._members:
            raise ValueError(f"there is a process named {command.name!r} already")
        member = self._members[command.name] = _Member(command, layer, once, again_with)
        return self._start(member)

    def tick(self) -> None:
        """Notice what has ended, and start again what is due."""
        now = self.clock()
        for member in self._members.values():
            self._notice_end(member, now)
        for member in self._members.values():
            if member.state is State.WAITING and now >= member.due_s:
                self._restart(member)

    def statuses(self) -> list[Status]:
        """Return how each process is, in the order of `add`, as of the last tick."""
        return [
            Status(
                name=name,
                state=member.state,
                pid=None if member.process is None else member.process.pid,
                restarts=member.restarts,
                exit_code=member.exit_code,
                since_s=member.since_s,
                log=str(member.command.log),
            )
            for name, member in self._members.items()
        ]

    def stop(self) -> None:
        """Stop all, layer by layer."""
        running = [member for member in self._members.values() if member.process is not None]
        self._members.clear()
        for layer in sorted({member.layer for member in running}, reverse=True):
            stop(*((m.process, m.command) for m in running if m.process and m.layer == layer))

    def _start(self, member: _Member) -> subprocess.Popen[bytes]:
        member.process = start(member.command)
        member.since_s = self.clock()
        return member.process

    def _notice_end(self, member: _Member, now: float) -> None:
        code = None if member.process is None else ended(member.process)
        if code is None:
            return
        stable = now - member.since_s >= _STABLE_AFTER_S
        member.failures = 1 if stable else member.failures + 1
        member.process, member.exit_code, member.since_s = None, code, now
        member.due_s = now + pause_s(member.failures)

    def _restart(self, member: _Member) -> None:
        self._start(member)
        member.restarts += 1
        for other in self._members.values():
            if member.command.name in other.again_with and other.state is State.DONE:
                self._start(other)
