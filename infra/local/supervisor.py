"""Keeps processes running: one that ends or hangs is restarted, with growing pauses.

The owner of a supervisor calls `tick` a few times a second; separate threads check whether
processes still answer.
"""

import enum
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from infra.local.process import Command, ended, kill, start, stop
from infra.local.pulse import Pulse

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_STABLE_AFTER_S: Final = 60.0
"""A process that ran this long starts with the first pause again."""


class State(enum.StrEnum):
    """A process's state."""

    RUNNING = "running"
    SILENT = "not answering"
    """it runs, and is restarted if it does not answer soon"""
    WAITING = "waiting"
    """it ended or could not be started, and is restarted after a pause"""
    DONE = "done"
    """it was to run once, and succeeded"""


@dataclass(frozen=True, slots=True)
class Status:
    """A process as seen by its supervisor."""

    name: str
    state: State
    pid: int | None
    restarts: int
    exit_code: int | None
    """of the previous run"""
    reason: str | None
    """why that ended, or why it could not be started"""
    since_s: float
    """the clock's time of the last start or end"""
    log: str


@dataclass(slots=True)
class _Member:
    command: Command
    layer: int
    once: bool
    again_with: frozenset[str]
    pulse: Pulse | None
    process: subprocess.Popen[bytes] | None = None
    exit_code: int | None = None
    reason: str | None = None
    since_s: float = 0.0
    due_s: float = 0.0
    restarts: int = 0
    failures: int = 0

    @property
    def state(self) -> State:
        if self.process is not None:
            return State.SILENT if self.pulse and self.pulse.is_silent else State.RUNNING
        return State.DONE if self.once and self.exit_code == 0 else State.WAITING


def pause_s(failures: int) -> float:
    """Return the pause before the restart after so many failures in a row.

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
        answers: Callable[[], bool] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start the process, and keep it running from now on.

        Args:
            command: its name must be new here.
            layer: higher ones stop first; those of one layer stop at the same time.
            once: it should end by itself with exit code 0; otherwise it is restarted.
            again_with: names of processes after whose restarts it must run again.
            answers: a liveness probe that takes at most a few seconds; a process that no longer
                answers is killed and restarted.

        Raises:
            OSError: it cannot be started.
        """
        if command.name in self._members:
            raise ValueError(f"there is a process named {command.name!r} already")
        pulse = Pulse(answers, self.clock) if answers else None
        member = self._members[command.name] = _Member(command, layer, once, again_with, pulse)
        return self._start(member)

    def tick(self) -> None:
        """Detect processes that ended or hang, and restart those that are due."""
        now = self.clock()
        for member in self._members.values():
            self._notice_end(member)
            self._notice_silence(member)
        for member in self._members.values():
            if member.state is State.WAITING and now >= member.due_s:
                self._restart(member)

    def statuses(self) -> list[Status]:
        """Return each process's status, in the order of `add`, as of the last tick."""
        return [
            Status(
                name=name,
                state=member.state,
                pid=None if member.process is None else member.process.pid,
                restarts=member.restarts,
                exit_code=member.exit_code,
                reason=member.reason,
                since_s=member.since_s,
                log=str(member.command.log),
            )
            for name, member in self._members.items()
        ]

    def stop(self, least_layer: int = 0) -> None:
        """Stop all, layer by layer, down to one of them."""
        members = [m for m in self._members.values() if m.layer >= least_layer]
        for member in members:
            del self._members[member.command.name]
        for layer in sorted({member.layer for member in members}, reverse=True):
            stop(*((m.process, m.command) for m in members if m.process and m.layer == layer))

    def _start(self, member: _Member) -> subprocess.Popen[bytes]:
        process = member.process = start(member.command)
        member.since_s = self.clock()
        if member.pulse:
            member.pulse.begin()
        return process

    def _notice_end(self, member: _Member) -> None:
        code = None if member.process is None else ended(member.process)
        if code is not None:
            hung = member.pulse is not None and member.pulse.hangs
            self._await_turn(member, "it did not answer" if hung else f"exit code {code}", code)

    def _notice_silence(self, member: _Member) -> None:
        if member.process is None or member.pulse is None:
            return
        member.pulse.look()
        if member.pulse.hangs:
            kill(member.process)

    def _restart(self, member: _Member) -> None:
        if not self._try_start(member):
            return
        member.restarts += 1
        for other in self._members.values():
            if member.command.name in other.again_with and other.state is State.DONE:
                self._try_start(other)

    def _try_start(self, member: _Member) -> bool:
        try:
            self._start(member)
        except OSError as error:  # such as a full disk, where its log would be
            self._await_turn(member, f"it cannot be started: {error}", None)
            return False
        return True

    def _await_turn(self, member: _Member, reason: str, code: int | None) -> None:
        now = self.clock()
        stable = member.process is not None and now - member.since_s >= _STABLE_AFTER_S
        member.failures = 1 if stable else member.failures + 1
        member.process, member.exit_code, member.reason, member.since_s = None, code, reason, now
        member.due_s = now + pause_s(member.failures)
