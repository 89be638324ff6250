"""A process that takes part in a measurement: it prepares, begins at a sign, says a result.

It is told its task by an argument in JSON, says `ready` and, when it is done, its result as a line
of JSON, both on standard output, which is its log.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from benchmarks.stage import ContenderError, Stage
from infra.local.process import Command, ended, start, stop

_READY: Final = b"ready"
_READY_WITHIN_S: Final = 60
_LOOK_EVERY_S: Final = 0.02
_GO: Final = signal.SIGUSR1

T = TypeVar("T")


def read_task(kind: type[T]) -> T:
    """Return what this process was told to do."""
    # Before any thread starts: the sign must reach nobody but `await_go`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {_GO})
    return msgspec.json.decode(sys.argv[1], type=kind)


def await_go() -> None:
    """Say that this process is ready, and return when it is to begin."""
    sys.stdout.write(f"{_READY.decode()}\n")
    sys.stdout.flush()
    signal.sigwait({_GO})


def say(result: object) -> None:
    """Say the result, which must be the last thing that this process does."""
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Child:
    """One such process, seen from the one that measures."""

    command: Command
    process: subprocess.Popen[bytes]

    def await_ready(self) -> None:
        """Return when it is ready.

        Raises:
            ContenderError: it ended, or took too long.
        """
        deadline = time.monotonic() + _READY_WITHIN_S
        while _READY not in self._lines():
            if ended(self.process) is not None:
                raise ContenderError(f"{self.command.name} ended early: see {self.command.log}")
            if time.monotonic() > deadline:
                raise ContenderError(
                    f"{self.command.name} was not ready in {_READY_WITHIN_S} s: "
                    f"see {self.command.log}"
                )
            time.sleep(_LOOK_EVERY_S)

    def go(self) -> None:
        """Let it begin."""
        os.kill(self.process.pid, _GO)

    def result(self, kind: type[T], within_s: float) -> T:
        """Wait until it ends, and return what it said last.

        Raises:
            ContenderError: it failed, or took longer.
        """
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise ContenderError(
                f"{self.command.name} did not end within {within_s:g} s: see {self.command.log}"
            ) from None
        if code:
            raise ContenderError(
                f"{self.command.name} ended with exit code {code}: see {self.command.log}"
            )
        said = [line for line in self._lines() if line.startswith(b"{")]
        return msgspec.json.decode(said[-1], type=kind)

    def _lines(self) -> list[bytes]:
        return self.command.log.read_bytes().splitlines()


@contextlib.contextmanager
def child(stage: Stage, namespace: str, module: str, task: msgspec.Struct) -> Iterator[Child]:
    """Run `python -m module` with a task, for the block."""
    argv = (sys.executable, "-m", module, msgspec.json.encode(task).decode())
    command = stage.command(module, namespace, argv)
    process = start(command)
    try:
        yield Child(command, process)
    finally:
        stop((process, command))
