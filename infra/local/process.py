"""Starts, awaits and stops child processes that never outlive this one.

Each child leads its own process group, so that stopping it stops its children, and Ctrl-C in the
terminal reaches it only through us. On Linux the kernel also kills it when this process dies, even
by `kill -9`.
"""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tenacity

LOOPBACK: Final = "127.0.0.1"
READY_WITHIN_S: Final = 300
"""Long, for a busy machine: a process that ends is noticed at once."""
_POLL_S: Final = 0.05
_LEAST_PORT: Final = 10_000
_PORTS_ENOUGH: Final = 1_000
_PORTS_OF_THE_SYSTEM: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_held: Final[list[socket.socket]] = []
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class NotReadyError(RuntimeError):
    """A server ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Command:
    """How to start and stop a process."""

    name: str
    argv: tuple[str, ...]
    log: Path
    """for standard output and error, appended"""
    environment: Mapping[str, str] = field(default_factory=dict)
    """on top of this process's environment"""
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10
    """from the stop signal to SIGKILL"""


@dataclass(frozen=True, slots=True)
class Server:
    """A command whose process listens at an address."""

    command: Command
    address: str
    product: str
    """name and version"""
    answers: Callable[[], bool]


def free_port(wished: int = 0) -> int:
    """Return a TCP port for a server of ours: the wanted one or the next free one, by default any.

    It stays free until the server starts, and across restarts. The system assigns it to no
    connection and to no server that takes any port, and this function returns it only once while
    this process lives: it holds the UDP port of the same number.
    """
    if wished:
        return next(port for port in range(wished, 2**16) if _take(port))
    ports = _ports()
    while not _take(port := secrets.choice(ports)):
        pass
    return port


def is_free(port: int) -> bool:
    """Return whether no server listens on a TCP port."""
    with socket.socket() as probe:
        # Leftover connections of a server that just ended do not occupy the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def start(command: Command) -> subprocess.Popen[bytes]:
    """Start the process. The calling thread must live as long as the process.

    Raises:
        OSError: the program cannot be run.
    """
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("ab") as log:
        # The child only calls into an already loaded library: safe after a fork.
        return subprocess.Popen(
            command.argv,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=_die_with_parent,
        )


def ended(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code, negative for a signal, None if the process is running.

    The rest of its group ends with it.
    """
    if process.returncode is not None:
        return process.returncode
    code = process.poll()
    if code is not None:
        _signal_group(process, signal.SIGKILL)
    return code


def stop(*processes: tuple[subprocess.Popen[bytes], Command]) -> None:
    """Stop the processes concurrently, each with its group; wait until all have ended."""
    began = time.monotonic()
    running = [(process, command) for process, command in processes if ended(process) is None]
    for process, command in running:
        _signal_group(process, command.stop_signal)
    for process, command in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, began + command.grace_s - time.monotonic()))
        _signal_group(process, signal.SIGKILL)
        process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with its group; `ended` then reports its end."""
    _signal_group(process, signal.SIGKILL)


def await_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers.

    Raises:
        NotReadyError: it ended, or did not answer within `READY_WITHIN_S`.
    """
    name, log = server.command.name, server.command.log

    def answers() -> bool:
        code = ended(process)
        if code is not None:
            raise NotReadyError(f"{name} ended with exit code {code}: see {log}")
        return server.answers()

    try:
        tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda answered: not answered),
            stop=tenacity.stop_after_delay(READY_WITHIN_S),
            wait=tenacity.wait_fixed(_POLL_S),
        )(answers)
    except tenacity.RetryError:
        raise NotReadyError(
            f"{name} did not answer at {server.address} within {READY_WITHIN_S} s: see {log}"
        ) from None


@contextlib.contextmanager
def running(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server for the block; it is ready when the block begins.

    Raises:
        NotReadyError: as `await_ready`.
    """
    process = start(server.command)
    try:
        await_ready(server, process)
        yield process
    finally:
        stop((process, server.command))


def _take(port: int) -> bool:
    """Return whether the port was free; then it is reserved."""
    mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        mark.bind((LOOPBACK, port))
    except OSError:
        mark.close()
        return False
    if not is_free(port):
        mark.close()
        return False
    _held.append(mark)
    return True


def _ports() -> range:
    """Return the ports that the system does not assign by itself; any, if there are too few."""
    try:
        first = int(_PORTS_OF_THE_SYSTEM.read_text().split()[0])
    except OSError:
        first = 49_152  # RFC 6335
    return range(_LEAST_PORT, first if first >= _LEAST_PORT + _PORTS_ENOUGH else 2**16)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The group's id is the child's. Right after the child's end it cannot have been reused.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
