"""The whole stack, run by its commands: it answers, repairs itself and leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
from rich.console import Console

from infra.local import background
from infra.local.process import LOOPBACK, NotReadyError
from infra.local.run import BusyError, Report, owner, read_report
from infra.local.stack import Options, compose
from infra.local.supervisor import State, Status
from runtime.redis.stores import connect
from tests.patience import PATIENCE_S, eventually

UNFED = Options(api_port=0, simulated=False)
WITHIN_S = 2 * PATIENCE_S
"""Seven processes start, on a machine that may have others to run."""


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(width=120)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a stack may run; what a failed test leaves there is stopped."""
    folder = tmp_path / "stack"
    yield folder
    if (pid := owner(folder)) is not None:
        os.kill(pid, signal.SIGTERM)
        until(lambda: owner(folder) is None)


def until(condition: Callable[[], object]) -> None:
    eventually(lambda: bool(condition()), "it happens", WITHIN_S)


def report_of(folder: Path) -> Report:
    until(lambda: read_report(folder) is not None)
    report = read_report(folder)
    assert report is not None
    return report


def process_of(folder: Path, name: str) -> Status:
    return next(status for status in report_of(folder).processes if status.name == name)


def running_pids(folder: Path) -> set[int]:
    return {status.pid for status in report_of(folder).processes if status.pid is not None}


def family(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def closes(api_url: str, asked: dict[str, int]) -> dict[int, float]:
    """Return the closing prices of instrument 4 by minute; none while they cannot be read."""
    answer = httpx.get(f"{api_url}/v1/instruments/4/bars", params=asked, timeout=WITHIN_S)
    return {bar["t"]: bar["c"] for bar in answer.json().get("bars", ())}


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def start(command: str, folder: Path) -> subprocess.Popen[str]:
    code = (
        "from pathlib import Path; from rich.console import Console; "
        "from infra.local import commands; "
        "from infra.local.stack import Options; "
        f"commands.{command}(Console(), Path({str(folder)!r}), Options(api_port=0))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.stack
def test_the_demo_shows_three_answers_and_where_the_page_is_until_ctrl_c(folder: Path) -> None:
    demo = start("demo", folder)
    assert demo.stdout is not None
    shown: list[str] = []
    while not shown or "quotes/s" not in shown[-1]:
        shown.append(demo.stdout.readline())
        assert shown[-1], "".join(shown)
    processes = family(demo.pid)
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=WITHIN_S)
    until(lambda: gone(processes))

    assert len(shown) <= 40
    found = [line.split()[1] for line in shown if " after " in line]
    assert found == ["bars", "histories", "lists"]
    assert len([line for line in shown if line.startswith("$ curl")]) == 3
    assert [line for line in shown if line.startswith("! ")] == []
    assert any(line.startswith("Page http://127.0.0.1:") for line in shown)
    assert re.search(r"[1-9][\d,]* quotes/s .* lag [\d,]+ .* model \d+T\d+Z-\d+", shown[-1])


@pytest.mark.stack
def test_the_stack_in_the_background_repairs_itself_and_ends_with_down(
    console: Console, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not background.status(console, folder)
    background.up(console, folder, UNFED)
    assert [status.name for status in report_of(folder).processes] == [
        *("store", "broker", "topics", "worker-1", "trainer", "api")
    ]
    with pytest.raises(BusyError, match="is already running"):
        background.up(console, folder, Options(api_port=0))
    pid = owner(folder)
    assert pid is not None
    for name in ("api", "store"):
        killed = process_of(folder, name)
        assert killed.pid is not None
        os.kill(killed.pid, signal.SIGKILL)
        until(lambda name=name: process_of(folder, name).restarts == 1)  # type: ignore[misc]
    # The store forgot the topics' partitions: they are noted again.
    until(lambda: (folder / "topics.log").read_text().count("interactions ") == 2)
    capsys.readouterr()
    assert background.status(console, folder)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("store "))
    assert re.search(r"running +(\d+ min )?\d+ s +1 +store\.log +redis://", line)

    # A worker or trainer that ended with its store may be in the pause before its next start.
    until(lambda: process_of(folder, "topics").state is State.DONE)
    until(lambda: len(running_pids(folder)) == 5)
    processes = family(pid)
    assert {process.pid for process in processes} >= running_pids(folder)
    background.down(console, folder)
    until(lambda: gone(processes))
    assert "all stopped" in capsys.readouterr().out
    background.down(console, folder)
    assert "nothing runs" in capsys.readouterr().out


@pytest.mark.stack
def test_what_was_accepted_is_folded_before_the_log_ends_and_is_there_at_the_next_start(
    console: Console, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    durable = replace(UNFED, durable=True)
    background.up(console, folder, durable)
    assert "Tansu has the log in memory" in capsys.readouterr().out
    now_ms = time.time_ns() // 1_000_000
    events: list[dict[str, object]] = [
        {"type": "interaction", "user_id": "u", "instrument_id": i, "ts": now_ms} for i in (4, 5)
    ]
    events.append({"type": "quote", "instrument_id": 4, "price": 12.5, "ts": now_ms})
    asked = {"start": now_ms // 60_000 * 60_000}
    for n in (1, 2):
        api = report_of(folder).addresses["api"]
        httpx.post(f"{api}/v1/events", json=events).raise_for_status()
        background.down(console, folder)
        background.up(console, folder, durable)
        assert "new records count on top of what Redis has" in capsys.readouterr().out
        report = report_of(folder)
        until(lambda api=report.addresses["api"]: closes(api, asked))  # type: ignore[misc]
        with connect(report.settings["REDIS_URL"], "test") as store:
            # Of 4, of 5 and of both; each row has an offset, too.
            assert sum(store.hlen(row) - 1 for row in store.scan_iter("*:cooc:*")) == 3
            [bars] = store.scan_iter("*:bars:*:4")
            assert f'"n":{n},' in str(store.hvals(bars))
    background.down(console, folder)


@pytest.mark.stack
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_a_killed_demo_leaves_nothing_running(folder: Path) -> None:
    demo = start("demo", folder)
    report_of(folder)
    processes = family(demo.pid)
    assert len(processes) >= 7
    demo.kill()
    demo.communicate(timeout=WITHIN_S)
    until(lambda: gone(processes))
    assert owner(folder) is None


def test_a_broker_of_ones_own_is_where_its_settings_say_and_is_not_started(folder: Path) -> None:
    own = compose(folder, Options("own", 2, 0, simulated=False))
    started = compose(folder, Options(workers=2, api_port=0))

    assert [server.command.name for server in own.servers] == ["store"]
    assert [program.name for program in own.programs] == ["worker-1", "worker-2", "trainer", "api"]
    for stack, given in ((own, False), (started, True)):
        for program in (stack.topics, *stack.programs):
            assert ("KAFKA_BOOTSTRAP_SERVERS" in program.environment) == given
            assert program.environment["REDIS_URL"] == stack.store.address


def test_a_port_of_the_api_that_is_taken_is_said_at_once(folder: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(NotReadyError, match=f"port {taken} is taken"):
            compose(folder, Options(api_port=taken))


def test_a_stack_that_does_not_come_up_says_why(
    console: Console, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMESPACE", "not a namespace")
    with pytest.raises(Exception, match="namespace"):
        background.up(console, folder, Options(api_port=0))
    assert owner(folder) is None
