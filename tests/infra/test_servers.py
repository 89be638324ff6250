"""Starting and stopping a server; the other tests use what starts well."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local import store as stores
from infra.local.process import (
    Command,
    NotReadyError,
    Server,
    await_ready,
    free_port,
    running,
    start,
    stop,
)


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


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    command = Command("true", ("true",), tmp_path / "log")
    process = start(command)
    process.wait()
    stop((process, command))
    stop((process, command))
    assert process.returncode == 0
