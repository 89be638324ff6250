"""`up`, `status` and `down`: a stack in the background, run by a supervisor of its own."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import msgspec
from rich.console import Console

from infra.local import show
from infra.local.logged import last_words
from infra.local.process import READY_WITHIN_S, NotReadyError
from infra.local.run import BusyError, Report, await_end, owner, read_report, running_stack
from infra.local.stack import BrokerKind, Options

STOPPED_WITHIN_S: Final = 90
_TICKS_S: Final = 1.0
_RESTARTS: Final = 3
"""After so many, a program is not waited for."""
_BEGINNING: Final = ("claiming", "resuming")
"""States of a partition that a worker reports."""


def up(console: Console, folder: Path, options: Options) -> None:
    """Start a stack that outlives this process, and wait until it folds and answers.

    Raises:
        BusyError: one runs in the folder already.
        NotReadyError: it did not start.
    """
    if (pid := owner(folder)) is not None:
        raise BusyError(
            f"it is already running as process {pid}: `status` shows it, `down` stops it"
        )
    data = options.data(folder)
    continues = data is not None and data.exists()
    log_path = folder.with_suffix(".log")
    log_path.parent.mkdir(parents=True, exist_ok=True)
    given = msgspec.json.encode(options).decode()
    argv = (sys.executable, "-m", "infra.local", "supervise", str(folder), given)
    with log_path.open("wb") as log:
        supervisor = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with console.status("starting ..."):
            _await_ready(supervisor, folder, log_path)
    except KeyboardInterrupt:
        raise NotReadyError(f"interrupted, but {_goes_on(supervisor, folder)}") from None
    show.stack(console, folder)
    show.warned(console, folder)
    console.print(f"supervisor {supervisor.pid}, log {show.shown(log_path)}", soft_wrap=True)
    console.print(_kept(options.broker, data, continues=continues), soft_wrap=True)


def supervise(console: Console, folder: Path, options: Options) -> None:
    """Run a stack until SIGTERM."""
    with running_stack(folder, options, partial(show.step, console)) as running:
        while True:
            running.pause(_TICKS_S)


def status(console: Console, folder: Path) -> bool:
    """Show the stack of `up`; return whether it runs."""
    pid = owner(folder)
    if pid is None:
        console.print("nothing runs")
        return False
    show.stack(console, folder)
    return True


def down(console: Console, folder: Path) -> None:
    """Stop the stack of `up`, and wait until nothing of it runs.

    Raises:
        NotReadyError: it does not stop.
    """
    pid = owner(folder)
    if pid is None:
        console.print("nothing runs")
        return
    os.kill(pid, signal.SIGTERM)
    with console.status("stopping ..."):
        stopped = await_end(folder, STOPPED_WITHIN_S)
    if not stopped:
        raise NotReadyError(f"process {pid} did not stop within {STOPPED_WITHIN_S} s")
    console.print("all stopped")


def _kept(broker: BrokerKind, data: Path | None, *, continues: bool) -> str:
    """Return what of a stack stays after its end, and what has stayed since the latest one."""
    if data is None:
        return "Its data end with it."
    keeps = "Kafka and Redis keep their" if broker == "kafka" else "Redis keeps its"
    said = f"{keeps} data in {show.shown(data)}, until `make clean`."
    if broker == "tansu":
        said += " Tansu has the log in memory: `make down` waits until it is folded, a kill loses "
        said += "the rest. `make up BROKER=kafka` keeps both (it needs Java and Maven)."
    if broker == "tansu" and continues:
        said += "\nThe log of the latest stack is gone: new records count on top of what Redis has."
    return said


def _await_ready(supervisor: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    with httpx.Client(timeout=1) as client:
        while time.monotonic() < deadline:
            if supervisor.poll() is not None:
                raise NotReadyError(f"it did not come up:\n{log.read_text().strip()}")
            report = read_report(folder) if owner(folder) == supervisor.pid else None
            if report and _is_ready(client, report):
                return
            for status in report.processes if report else ():
                if status.restarts >= _RESTARTS:
                    raise NotReadyError(
                        f"{status.name} keeps exiting ({status.reason}): "
                        f"{last_words(Path(status.log))}\nSee {status.log}; "
                        f"{_goes_on(supervisor, folder)}"
                    )
            time.sleep(0.1)
    raise NotReadyError(
        f"it is not ready after {READY_WITHIN_S} s, but {_goes_on(supervisor, folder)}"
    )


def _goes_on(supervisor: subprocess.Popen[bytes], folder: Path) -> str:
    return (
        f"the stack keeps running in the background, process {supervisor.pid}: `status` shows it, "
        f"`down` stops it, its logs are in {folder}"
    )


def _is_ready(client: httpx.Client, report: Report) -> bool:
    """Return whether the API is ready, and the workers' partitions have begun."""
    states = set[str]()
    try:
        if not client.get(f"{report.addresses['api']}/health/ready").is_success:
            return False
        for name, address in report.addresses.items():
            if name.startswith("worker"):
                partitions = client.get(f"{address}/health").json()["partitions"]
                states |= {partition["state"] for partition in partitions.values()}
    except httpx.HTTPError:
        return False
    return bool(states) and states.isdisjoint(_BEGINNING)
