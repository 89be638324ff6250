"""A reserved port is still free when a server is started there."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from infra.local.process import LOOPBACK, free_port

_GIVEN: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PORTS: Final = 300
_GIVES: Final = (
    "import sys; from infra.local.process import free_port; "
    "print(*(free_port() for _ in range(int(sys.argv[1]))), flush=True); sys.stdin.read()"
)


@pytest.mark.skipif(not _GIVEN.exists(), reason="only Linux says which ports it gives by itself")
def test_no_port_is_one_that_the_system_gives_to_a_connection() -> None:
    lowest, highest = map(int, _GIVEN.read_text().split())
    if lowest < 20_000:
        pytest.skip(f"the system gives {lowest} to {highest}: that leaves too few others")
    ports = {free_port() for _ in range(50)}
    assert not ports & set(range(lowest, highest + 1))


def test_no_two_processes_are_given_the_same_port() -> None:
    with _giving(_PORTS) as one, _giving(_PORTS) as other:
        assert len({*one, *other}) == 2 * _PORTS


def test_a_port_that_is_wished_for_is_had_unless_it_is_taken() -> None:
    with _giving(1) as [wished]:
        assert free_port(wished) != wished
    with socket.create_server((LOOPBACK, wished)):
        assert free_port(wished) != wished
    assert free_port(wished) == wished
    # A server of ours is about to be started there.
    assert free_port(wished) != wished


@contextmanager
def _giving(n: int) -> Iterator[list[int]]:
    """Have n ports of a process that lives as long as the block."""
    with subprocess.Popen(
        [sys.executable, "-c", _GIVES, str(n)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]
