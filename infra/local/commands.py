"""The commands of `python -m infra.local`, each in its own folder."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live

from contracts.keyspace import Keyspace
from infra.local import metrics, show
from infra.local.asking import connect_api
from infra.local.look import look
from infra.local.process import READY_WITHIN_S, NotReadyError
from infra.local.questions import decisions, questions
from infra.local.run import (
    BusyError,
    Running,
    await_end,
    claimed,
    interruptible,
    owner,
    read_report,
    running_stack,
)
from infra.local.stack import BrokerKind, compose
from infra.local.subjects import Subjects, served_generation
from infra.local.tour import answers, await_subjects
from runtime.redis.stores import Store, connect

STOPPED_WITHIN_S: Final = 90
_STATUS_EVERY_S: Final = 1.0
_STATUS_EVERY_S_IN_A_FILE: Final = 5.0
_READINGS: Final = 6
_RESTARTS_OF_THE_API: Final = 3
_CLIENT_NAME: Final = "tickrec-local"


@contextmanager
def _stack(
    console: Console,
    folder: Path,
    broker: BrokerKind,
    workers: int,
    api_port: int | None,
    *,
    canaries: bool = False,
    simulated: bool = True,
    archived: bool = False,
) -> Iterator[Running]:
    """Run a stack for the block; Ctrl-C and SIGTERM end the block.

    Raises:
        BusyError: one runs in the folder already.
        NotReadyError: it did not start.
    """
    with interruptible(), claimed(folder):
        stack = compose(
            folder,
            broker,
            workers,
            api_port,
            canaries=canaries,
            simulated=simulated,
            archived=archived,
        )

        def say(name: str, what: str, address: str) -> None:
            show.step(console, name, what, address)

        with running_stack(folder, stack, say) as running:
            running.tick()
            yield running


def demo(
    console: Console, folder: Path, broker: BrokerKind, workers: int, api_port: int | None
) -> None:
    """Start a stack, show its responses, then its status, until Ctrl-C."""
    began = time.monotonic()
    with _stack(console, folder, broker, workers, api_port) as running:
        stack = running.stack
        with (
            connect(stack.store.address, _CLIENT_NAME) as store,
            connect_api(stack.api_url) as client,
        ):
            with console.status("waiting for the first bars, histories and lists ..."):
                subjects = _subjects(running, store, client)
            for given in answers(running.pause, client, questions(subjects)):
                show.answer(console, stack.api_url, given)
            looked = look(store, Keyspace(stack.namespace), subjects)
            show.keys(console, stack.store.address, looked)
            _print_processes(console, folder)
            console.print(
                f"\nAll of this took {time.monotonic() - began:.0f} s, and it runs until Ctrl-C.\n"
                f"Page {stack.api_url}/   docs {stack.api_url}/docs\n"
            )
            _watch(console, running, store, client)


def smoke(console: Console, folder: Path, broker: BrokerKind, workers: int, api_port: int) -> bool:
    """Start a stack, check its responses, stop it; return whether all were correct."""
    began = time.monotonic()
    with _stack(console, folder, broker, workers, api_port, canaries=True) as running:
        stack = running.stack
        with (
            connect(stack.store.address, _CLIENT_NAME) as store,
            connect_api(stack.api_url) as client,
        ):
            subjects = _subjects(running, store, client)
            asked = itertools.chain(questions(subjects), decisions())
            given = list(answers(running.pause, client, asked))
        for answer in given:
            show.check(console, answer)
        running.tick()
        restarted = [status for status in running.supervisor.statuses() if status.restarts]
        failed = [answer for answer in given if answer.problem is not None]
        if failed or restarted:
            _print_processes(console, folder)
    for status in restarted:
        console.print(f"[red]✗[/] {status.name} was restarted: see {status.log}", soft_wrap=True)
    console.print(
        f"{len(given) - len(failed)} of {len(given)} answers as they should be, "
        f"{len(restarted)} processes restarted, {time.monotonic() - began:.0f} s, all stopped"
    )
    return not failed and not restarted


def supervise(
    console: Console,
    folder: Path,
    broker: BrokerKind,
    workers: int,
    api_port: int | None,
    *,
    simulated: bool,
    archived: bool,
) -> None:
    """Run a stack until SIGTERM."""
    with _stack(
        console, folder, broker, workers, api_port, simulated=simulated, archived=archived
    ) as running:
        for _ in itertools.repeat(None):
            running.pause(_STATUS_EVERY_S)


def up(
    console: Console,
    folder: Path,
    broker: BrokerKind,
    workers: int,
    api_port: int | None,
    *,
    simulated: bool = True,
    archived: bool = False,
) -> None:
    """Start a stack that outlives this process, and wait until its API is ready.

    Raises:
        BusyError: one runs in the folder already.
        NotReadyError: it did not start.
    """
    if (pid := owner(folder)) is not None:
        raise BusyError(f"it runs already, as process {pid}: `status` shows it, `down` stops it")
    log_path = folder.with_suffix(".log")
    log_path.parent.mkdir(parents=True, exist_ok=True)
    settings = ("--broker", broker, "--workers", str(workers))
    port = () if api_port is None else ("--api-port", str(api_port))
    feed = "--simulate" if simulated else "--no-simulate"
    archive = "--archive" if archived else "--no-archive"
    supervise = (sys.executable, "-m", "infra.local", "supervise", str(folder))
    argv = (*supervise, *settings, *port, feed, archive)
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
            _await_api(supervisor, folder, log_path)
    except KeyboardInterrupt:
        raise NotReadyError(f"interrupted, but {_goes_on(supervisor, folder)}") from None
    _print_processes(console, folder)
    console.print(f"\nIts supervisor is process {supervisor.pid}, log {log_path}", soft_wrap=True)


def status(console: Console, folder: Path) -> bool:
    """Show the stack of `up`; return whether it runs."""
    pid = owner(folder)
    if pid is None:
        console.print("nothing runs")
        return False
    _print_processes(console, folder)
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


def _await_api(supervisor: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if supervisor.poll() is not None:
            raise NotReadyError(f"it did not come up:\n{log.read_text().strip()}")
        report = read_report(folder) if owner(folder) == supervisor.pid else None
        if report and _is_ready(report.addresses["api"]):
            return
        for status in report.processes if report else ():
            if status.name == "api" and status.restarts >= _RESTARTS_OF_THE_API:
                raise NotReadyError(
                    f"the API ends again and again ({status.reason}): see {status.log}; "
                    f"{_goes_on(supervisor, folder)}"
                )
        time.sleep(0.1)
    raise NotReadyError(
        f"the API is not ready after {READY_WITHIN_S} s, but {_goes_on(supervisor, folder)}"
    )


def _goes_on(supervisor: subprocess.Popen[bytes], folder: Path) -> str:
    return (
        f"the stack keeps running in the background, process {supervisor.pid}: `status` shows it, "
        f"`down` stops it, its logs are in {folder}"
    )


def _is_ready(api_url: str) -> bool:
    try:
        return httpx.get(f"{api_url}/health/ready", timeout=1).is_success
    except httpx.HTTPError:
        return False


def _print_processes(console: Console, folder: Path) -> None:
    report = read_report(folder)
    if report is not None:
        console.print()
        console.print(show.processes(report))
        if (old := show.age(report)) is not None:
            console.print(old, soft_wrap=True)
        console.print(f"logs in {show.shown(folder)}/", style="dim", soft_wrap=True)


def _subjects(running: Running, store: Store, client: httpx.Client) -> Subjects:
    keyspace = Keyspace(running.stack.namespace)
    return await_subjects(running.pause, keyspace, store, client, str(running.folder))


def _watch(console: Console, running: Running, store: Store, client: httpx.Client) -> None:
    """Show a status line until something is raised."""
    every_s = _STATUS_EVERY_S if console.is_terminal else _STATUS_EVERY_S_IN_A_FILE
    keyspace = Keyspace(running.stack.namespace)
    # Over one second, rates would fluctuate as the simulator and the workers alternate.
    readings = deque([_read(running, client)], maxlen=_READINGS)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            running.pause(every_s)
            readings.append(_read(running, client))
            line = show.status_line(
                readings[-1],
                metrics.rates(readings[0], readings[-1]),
                _generation(store, keyspace),
                running.supervisor.statuses(),
            )
            if console.is_terminal:
                live.update(line, refresh=True)
            else:
                console.print(line, soft_wrap=True)


def _generation(store: Store, keyspace: Keyspace) -> str | None:
    try:
        return served_generation(store, keyspace)
    except RedisError:
        return None


def _read(running: Running, client: httpx.Client) -> metrics.Reading:
    return metrics.read(metrics.scrape(running.stack.worker_urls, client), time.monotonic())
