"""What a store spends on commands that come alone, in one write, and in many writes at once.

Redis answers all that has arrived when a turn of its loop begins. For many writes to arrive by
then, a script keeps it busy; rounds of the script alone show what that costs.
"""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import hiredis
import numpy as np

from benchmarks.capacity.costs import StoreCosts

_COMMANDS: Final = 32
_ROUNDS: Final = 1_000
_READ_BYTES: Final = 1 << 16
# Their stub knows commands of one word only.
_PAUSE: Final = hiredis.pack_command(("EVAL", "for n = 1, 100000 do end", "0"))  # type: ignore[arg-type]
_GET: Final = hiredis.pack_command(("GET", "missing"))  # type: ignore[arg-type]
_US_A_NS: Final = 1e-3


def measure_store(address: str, pid: int) -> StoreCosts:
    """Return what a turn, a write and a command cost the store, whose process is `pid`."""

    def cost_us(connections: Sequence[socket.socket], *, together: bool, commands: int) -> float:
        """Return the CPU of a round, in which each connection writes so many commands."""
        before = _cpu_us(pid)
        for _ in range(_ROUNDS):
            if together:
                connections[0].sendall(_PAUSE)
            for one in connections[together:]:
                one.sendall(_GET * commands)
            for one in connections:
                _read(one, commands)
        return (_cpu_us(pid) - before) / _ROUNDS

    with _opened(address, _COMMANDS + 1) as opened:
        alone_us = cost_us(opened[:1], together=False, commands=1)
        one_write_us = cost_us(opened[:1], together=False, commands=_COMMANDS)
        paused_us = cost_us(opened[:1], together=True, commands=1)
        many_writes_us = cost_us(opened, together=True, commands=1) - paused_us
    return solved(alone_us, one_write_us, many_writes_us)


def solved(alone_us: float, one_write_us: float, many_writes_us: float) -> StoreCosts:
    """Return what a turn and a write cost.

    Args:
        alone_us: a turn with one write of one command.
        one_write_us: a turn with one write of `_COMMANDS`.
        many_writes_us: a turn with `_COMMANDS` writes of one command each.
    """
    rows = [(1, 1, 1), (1, 1, _COMMANDS), (1, _COMMANDS, _COMMANDS)]
    found = np.linalg.solve(np.array(rows, np.float64), [alone_us, one_write_us, many_writes_us])
    turn_us, write_us, _ = found.tolist()
    return StoreCosts(turn_us=max(0.0, turn_us), write_us=max(0.0, write_us))


def _cpu_us(pid: int) -> float:
    """Return the CPU of a process's main thread: its clock in `psutil` ticks by 10,000 us."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * _US_A_NS


def _read(connection: socket.socket, answers: int) -> None:
    reader = hiredis.Reader()
    while answers:
        reader.feed(connection.recv(_READ_BYTES))
        while answers and reader.gets() is not False:
            answers -= 1


@contextlib.contextmanager
def _opened(address: str, n: int) -> Iterator[list[socket.socket]]:
    to = urlsplit(address)
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection((to.hostname, to.port))) for _ in range(n)
        ]
        for one in opened:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield opened
