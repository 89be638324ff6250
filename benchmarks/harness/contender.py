"""A process that takes part in a measurement, and how to wait for it."""

import subprocess
import time
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import httpx

from infra.local.process import LOOPBACK, Command, Server, ended, start

RUN_WITHIN_S: Final = 120
"""What ends a contender that hangs: no run of a default size comes near it."""
_LOOK_EVERY_S: Final = 0.02

T = TypeVar("T")


class ContenderError(RuntimeError):
    """A contender ended, hung, or did not do the work that is compared."""


class Process(NamedTuple):
    """A program that runs until it is stopped."""

    popen: subprocess.Popen[bytes]
    command: Command

    def check(self) -> None:
        """Check that it runs.

        Raises:
            ContenderError: it does not.
        """
        code = ended(self.popen)
        if code is not None:
            name, log = self.command.name, self.command.log
            raise ContenderError(f"{name} ended with exit code {code}: see {log}")


def started(command: Command) -> Process:
    """Start a program."""
    return Process(start(command), command)


def awaited(
    moment: Callable[[], T | None], what: str, *processes: Process, within_s: float = RUN_WITHIN_S
) -> T:
    """Return what `moment` returns, once that is not None.

    Raises:
        ContenderError: a process ended before, or it took too long.
    """
    deadline = time.monotonic() + within_s
    while (found := moment()) is None:
        for one in processes:
            one.check()
        if time.monotonic() > deadline:
            logs = ", ".join(str(one.command.log) for one in processes)
            raise ContenderError(f"{what} took more than {within_s:g} s: see {logs}")
        time.sleep(_LOOK_EVERY_S)
    return found


def answering(command: Command, port: int, ready_path: str) -> Server:
    """Return a program as a server that is ready when it answers a path with success."""
    address = f"http://{LOOPBACK}:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}{ready_path}", timeout=1).is_success
        except httpx.HTTPError:
            return False

    return Server(command, address, command.name, answers)
