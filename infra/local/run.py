"""Runs a stack in a folder, from the first process's start to the last one's end."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Final

import msgspec
import tenacity

from infra.local.process import READY_WITHIN_S, NotReadyError, await_ready
from infra.local.stack import Stack
from infra.local.supervisor import Status, Supervisor

Say = Callable[[str, str, str], None]
"""Told of each step that is done: the process, what it is, its address."""

TICK_S: Final = 0.2
_LOCK: Final = "lock"
_STATE: Final = "state.json"
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class BusyError(RuntimeError):
    """Another stack runs in the folder."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a running stack says of itself, in a file in its folder."""

    addresses: dict[str, str]
    processes: list[Status]
    at_s: float
    """the clock's time, which is the system's uptime, as in each `Status`"""


def owner(folder: Path) -> int | None:
    """Return the process that runs a stack in the folder, None if none does."""
    with contextlib.suppress(FileNotFoundError), (folder / _LOCK).open() as lock:
        try:
            # Shared, so that two who ask do not take each other for the owner.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # Empty for the moment between taking the lock and signing it.
            return int(lock.read() or 0) or None
    return None


def read_report(folder: Path) -> Report | None:
    """Return what the stack in the folder said of itself last, None before it first did."""
    try:
        return msgspec.json.decode((folder / _STATE).read_bytes(), type=Report)
    except FileNotFoundError:
        return None


def await_end(folder: Path, within_s: float) -> bool:
    """Return whether no stack runs in the folder, now or at the latest after `within_s`."""
    deadline = time.monotonic() + within_s
    while owner(folder) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK_S)
    return True


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have each of SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt within the block."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Have the folder for a new stack, emptied, within the block.

    Raises:
        BusyError: another stack runs there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as lock:
        _lock(lock, folder)
        for entry in folder.iterdir():
            if entry.name != _LOCK:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def running_stack(folder: Path, stack: Stack, say: Say) -> Iterator["Running"]:
    """Run the stack: its programs have started when the block begins; all has ended after it.

    Raises:
        NotReadyError: a server or the topics did not come up, and where to read why.
    """
    supervisor = Supervisor()
    try:
        _bring_up(supervisor, stack, say)
        yield Running(folder, stack, supervisor)
    finally:
        # Whoever is impatient now must wait: what is not stopped here stays behind.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
        supervisor.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Running:
    """A stack that runs, for as long as somebody calls `tick` or `pause`."""

    folder: Path
    stack: Stack
    supervisor: Supervisor

    def tick(self) -> None:
        """Start again what has ended or hangs, and report."""
        self.supervisor.tick()
        report = Report(self.stack.addresses(), self.supervisor.statuses(), self.supervisor.clock())
        half_done = self.folder / f"{_STATE}.new"
        with contextlib.suppress(OSError):  # a full disk; who reads it sees how old it is
            half_done.write_bytes(msgspec.json.encode(report))
            half_done.replace(self.folder / _STATE)

    def pause(self, seconds: float) -> None:
        """Let time pass, ticking."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(TICK_S, left))


def _bring_up(supervisor: Supervisor, stack: Stack, say: Say) -> None:
    for server in stack.servers:
        await_ready(server, supervisor.add(server.command, answers=server.answers))
        say(server.command.name, server.product, server.address)
    # Either server's memory ends with it, and with it the topics or the note of them.
    names = frozenset(server.command.name for server in stack.servers)
    topics = supervisor.add(stack.topics, once=True, again_with=names)
    try:
        code = topics.wait(READY_WITHIN_S)
    except subprocess.TimeoutExpired:
        code = None
    if code != 0:
        ended = "did not end" if code is None else f"ended with exit code {code}"
        raise NotReadyError(f"topics {ended}: see {stack.topics.log}")
    for program in stack.programs:
        # Together they stop faster: a worker that leaves makes those that stay share anew.
        supervisor.add(program, layer=1, answers=stack.answers(program.name))
        say(
            program.name,
            "python -m " + " ".join(program.argv[2:]),
            stack.urls.get(program.name, ""),
        )


def _lock(lock: IO[str], folder: Path) -> None:
    try:
        # Whoever calls `owner` holds the lock for a moment: that is no owner yet.
        tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(BlockingIOError),
            stop=tenacity.stop_after_delay(1),
            wait=tenacity.wait_fixed(0.02),
            reraise=True,
        )(fcntl.flock, lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"a stack runs in {folder} already: stop it first") from None
