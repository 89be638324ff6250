"""A port is free when a server is started there; one that ends at once is reported."""

import dataclasses
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from infra.local import store as stores
from infra.local.process import (
    LOOPBACK,
    NotReadyError,
    Server,
    await_ready,
    free_port,
    running,
    start,
)

_PORTS: Final = 300
_GIVES: Final = (
    "import sys; from infra.local.process import free_port; "
    "print(*(free_port() for _ in range(int(sys.argv[1]))), flush=True); sys.stdin.read()"
)


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


@pytest.mark.parametrize("store", [stores.valkey, stores.redis_server])
def test_a_server_that_ends_at_once_is_reported_with_its_exit_code_and_log(
    store: Callable[[int, Path], Server], tmp_path: Path
) -> None:
    port = free_port()
    try:
        first, on_the_same_port = store(port, tmp_path), store(port, tmp_path)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    with running(first):
        never = dataclasses.replace(on_the_same_port, answers=lambda: False)
        process = start(never.command)
        with pytest.raises(NotReadyError, match=r"store ended with exit code 1: see .*store\.log"):
            await_ready(never, process)
    assert "bind" in never.command.log.read_text()
