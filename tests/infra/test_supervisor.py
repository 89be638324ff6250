"""A process that ends is restarted; nothing outlives its supervisor; a port is given to one."""

import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest

from infra.local.process import LOOPBACK, Command, free_port
from infra.local.pulse import EVERY_S, HANGS_AFTER, STARTS_WITHIN
from infra.local.supervisor import State, Supervisor
from tests.patience import PATIENCE_S, eventually

GRACE_S = 1


class Clock:
    """A clock that advances only on command."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervisor(clock: Clock) -> Iterator[Supervisor]:
    supervisor = Supervisor(clock)
    yield supervisor
    supervisor.stop()


def python(name: str, folder: Path, code: str, grace_s: float = PATIENCE_S) -> Command:
    return Command(
        name=name,
        argv=(sys.executable, "-c", textwrap.dedent(code)),
        log=folder / f"{name}.log",
        grace_s=grace_s,
    )


def until(condition: Callable[[], object], tick: Callable[[], object] = lambda: None) -> None:
    eventually(lambda: bool(condition() or tick()), "it happens", every_s=0.01)


SLEEPER = "import time; print('here', flush=True); time.sleep(600)"


@pytest.mark.parametrize("has_answered", [True, False])
def test_a_process_that_no_longer_answers_is_killed_and_restarted(
    supervisor: Supervisor, clock: Clock, tmp_path: Path, *, has_answered: bool
) -> None:
    answers, asked = has_answered, []

    def ask() -> bool:
        asked.append(answers)
        return answers

    def tick_later() -> None:
        clock.now += EVERY_S
        supervisor.tick()

    process = supervisor.add(python("hangs", tmp_path, SLEEPER), answers=ask)
    until(lambda: len(asked) > HANGS_AFTER or not has_answered, tick_later)
    assert supervisor.statuses()[0].pid == process.pid
    answers = False
    until(lambda: supervisor.statuses()[0].state is State.SILENT or not has_answered, tick_later)
    until(lambda: supervisor.statuses()[0].state is State.WAITING, tick_later)
    [status] = supervisor.statuses()
    assert (status.exit_code, status.reason) == (-signal.SIGKILL, "it did not answer")
    assert asked.count(False) >= (HANGS_AFTER if has_answered else STARTS_WITHIN)
    until(lambda: supervisor.statuses()[0].state is State.RUNNING, tick_later)


POLITE = """
    import signal, sys, time
    def leave(*_):
        with open({order!r}, 'a') as f: f.write({name!r})
        sys.exit()
    signal.signal(signal.SIGTERM, leave)
    print('here', flush=True)
    time.sleep(600)
"""
STUBBORN = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('here', flush=True)
    time.sleep(600)
"""


def test_a_higher_layer_stops_first(supervisor: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    layers = {"a": 0, "b": 2, "c": 1, "d": 2}
    for name, layer in layers.items():
        polite = POLITE.format(order=str(order), name=name)
        supervisor.add(python(name, tmp_path, polite), layer=layer)
    until(lambda: all((tmp_path / f"{name}.log").read_text() for name in layers))
    supervisor.stop()
    together, then = order.read_text()[:2], order.read_text()[2:]
    assert (sorted(together), then) == (["b", "d"], "ca")


def test_what_will_not_stop_is_killed_after_its_grace_and_the_others_of_its_layer_do_not_wait(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = [supervisor.add(python(name, tmp_path, STUBBORN, GRACE_S)) for name in "abc"]
    until(lambda: all((tmp_path / f"{name}.log").read_text() for name in "abc"))
    graces: list[float] = []
    wait = subprocess.Popen.wait

    def noting(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout is not None:
            graces.append(timeout)
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", noting)
    began = time.monotonic()
    supervisor.stop()
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 3
    assert time.monotonic() - began >= GRACE_S
    assert sum(graces) <= GRACE_S, "they are waited for one after the other"


def test_stopping_a_process_stops_what_it_started(supervisor: Supervisor, tmp_path: Path) -> None:
    code = f"""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])
        print(child.pid, flush=True)
        time.sleep(600)
    """
    supervisor.add(python("parent", tmp_path, code))
    log = tmp_path / "parent.log"
    until(lambda: "here" in log.read_text())
    grandchild = int(log.read_text().split()[0])
    supervisor.stop()
    until(lambda: not psutil.pid_exists(grandchild))


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
    with subprocess.Popen(
        [sys.executable, "-c", _GIVES, str(n)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]
