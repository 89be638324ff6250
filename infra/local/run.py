"""Runs a stack in a folder, from its first process's start to the last one's end."""

import contextlib
import fcntl
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Final, get_args

import httpx
import msgspec
import tenacity

from contracts.keyspace import LAST_FIELD
from infra.local import metrics
from infra.local.process import READY_WITHIN_S, NotReadyError, await_ready
from infra.local.stack import PORTS, BrokerKind, Options, Stack, compose
from infra.local.supervisor import Status, Supervisor
from runtime.redis.stores import connect
from runtime.running_stack import STACK_REPORT

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

Say = Callable[[str, str, str], None]
"""Called after each step with the process, its description, and its address."""

TICK_S: Final = 0.2
_LOCK: Final = "lock"
_STATE: Final = STACK_REPORT.name
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
_AGAIN_S: Final = 0.05
_WORKERS: Final = 1
"""Their layer: the servers are below, what publishes above."""
_LAG_OLD_S: Final = 4
"""Workers ask for the logs' ends every two seconds, and report the lag as often."""
_FOLDED_WITHIN_S: Final = 45


class BusyError(RuntimeError):
    """Another stack runs in the folder."""


@dataclass(frozen=True, slots=True)
class Report:
    """A running stack's report on itself, in a file in its folder."""

    addresses: dict[str, str]
    processes: list[Status]
    at_s: float
    """the clock's time, which is the system's uptime, as in each `Status`"""
    settings: Mapping[str, str] = field(default_factory=dict)
    """by which other commands on the same host reach the stack"""
    host: str = field(default_factory=platform.node)
    """another one in a container, which may have the project as a volume, but not the servers"""


def owner(folder: Path) -> int | None:
    """Return the process that runs a stack in the folder, None if there is none."""
    with contextlib.suppress(FileNotFoundError), (folder / _LOCK).open() as lock:
        try:
            # Shared, so that two callers do not take each other for the owner.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # Empty for the moment between taking the lock and signing it.
            return int(lock.read() or 0) or None
    return None


def read_report(folder: Path) -> Report | None:
    """Return the last report of the stack in the folder, None before the first."""
    try:
        return msgspec.json.decode((folder / _STATE).read_bytes(), type=Report)
    except FileNotFoundError:
        return None


def await_end(folder: Path, within_s: float) -> bool:
    """Return whether no stack runs in the folder, waiting up to `within_s`."""
    deadline = time.monotonic() + within_s
    while owner(folder) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK_S)
    return True


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt within the block."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def interrupt_later(ignored: "UnraisableHookArgs") -> None:
        # Python ignores an exception in a finalizer or in a callback after a fork.
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            hook_before(ignored)

    hook_before, sys.unraisablehook = sys.unraisablehook, interrupt_later
    before = {number: signal.signal(number, interrupt) for number in INTERRUPTS}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook_before
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def claimed(folder: Path, kept: Iterable[str] = ()) -> Iterator[None]:
    """Lock the folder for a new stack, for the block, and empty it but for some entries.

    Raises:
        BusyError: another stack runs there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as lock:
        _lock(lock, folder)
        for entry in folder.iterdir():
            if entry.name not in (_LOCK, *kept):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def running_stack(folder: Path, options: Options, say: Say) -> Iterator["Running"]:
    """Run a stack in the folder: its programs have started when the block begins.

    Ctrl-C, SIGTERM and SIGHUP end the block. After it, all of the stack has ended.

    Raises:
        BusyError: another stack runs there.
        NotReadyError: a server or the topics did not start; names the log.
    """
    kept = (PORTS, *get_args(BrokerKind)) if options.durable else ()
    with interruptible(), claimed(folder, kept):
        stack, supervisor = compose(folder, options), Supervisor()
        try:
            _bring_up(supervisor, stack, say)
            running = Running(folder, stack, supervisor)
            running.tick()
            yield running
        finally:
            # Ignore further interrupts: what is not stopped here stays behind.
            before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
            if options.durable and stack.forgets:
                supervisor.stop(_WORKERS + 1)
                _await_folded(stack)
            supervisor.stop()
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Running:
    """A running stack, kept up by calls of `tick` or `pause`."""

    folder: Path
    stack: Stack
    supervisor: Supervisor

    def tick(self) -> None:
        """Restart what has ended or hangs, and write the report."""
        self.supervisor.tick()
        statuses, now_s = self.supervisor.statuses(), self.supervisor.clock()
        report = Report(self.stack.addresses(), statuses, now_s, self.stack.settings)
        half_done = self.folder / f"{_STATE}.new"
        with contextlib.suppress(OSError):  # a full disk; readers see how old the report is
            half_done.write_bytes(msgspec.json.encode(report))
            half_done.replace(self.folder / _STATE)

    def pause(self, seconds: float) -> None:
        """Let time pass, calling `tick`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(TICK_S, left))


def _bring_up(supervisor: Supervisor, stack: Stack, say: Say) -> None:
    for server in stack.servers:
        await_ready(server, supervisor.add(server.command, answers=server.answers))
        say(server.command.name, server.product, server.address)
    if stack.forgets:
        # Workers would take the same records in a new log, published again, for a copy of the old.
        with connect(stack.store.address, "local") as store:
            for key in store.scan_iter("*:position:*"):
                store.hdel(key, LAST_FIELD)
    # Each server's memory is lost with it, and thereby the topics or their record in Redis.
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
        # Workers stop together, which is faster: one that leaves makes the others rebalance.
        layer = _WORKERS + (program.name in ("api", "producer"))
        supervisor.add(program, layer=layer, answers=stack.answers(program.name))
        say(
            program.name,
            "python -m " + " ".join(program.argv[2:]),
            stack.urls.get(program.name, ""),
        )


def _await_folded(stack: Stack) -> None:
    """Wait, within limits, until the workers have folded the log, which its broker forgets."""
    quiet_s = 0
    with httpx.Client(timeout=1) as client:
        for _ in range(_FOLDED_WITHIN_S):
            is_folded = metrics.is_folded(metrics.scrape(stack.worker_urls, client))
            quiet_s = quiet_s + 1 if is_folded else 0
            if quiet_s > _LAG_OLD_S:
                return
            time.sleep(1)


def _lock(lock: IO[str], folder: Path) -> None:
    try:
        # Callers of `owner` hold the lock for a moment without owning the folder.
        tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(BlockingIOError),
            stop=tenacity.stop_after_delay(1),
            wait=tenacity.wait_fixed(0.02),
            reraise=True,
        )(fcntl.flock, lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"a stack runs in {folder} already: stop it first") from None
