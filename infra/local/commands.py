"""`demo` and `smoke`: a stack that runs as long as the command, or one that runs elsewhere."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.live import Live

from infra.local import metrics, show
from infra.local.asking import Pause, answers, await_subjects, connect_api
from infra.local.requests import Request, requests, shown
from infra.local.run import Running, running_stack
from infra.local.stack import Options, Stack

_STATUS_EVERY_S: Final = 1.0
_STATUS_EVERY_S_IN_A_FILE: Final = 5.0
_READINGS: Final = 6
_DECIDED_WITHIN_S: Final = 60
_INSIDE_ONLY: Final = "/metrics"
"""nginx answers 404 to it."""


def demo(console: Console, folder: Path, options: Options) -> None:
    """Start a stack, show three of its answers, then its status, until Ctrl-C."""
    began = time.monotonic()
    with running_stack(folder, options, partial(show.step, console)) as running:
        url = running.stack.api_url
        with connect_api(url) as client:

            def found(what: str) -> None:
                show.check(console, f"{what:<10}after {time.monotonic() - began:.0f} s", None)

            with console.status("waiting for the first bars, histories and lists ..."):
                subjects = await_subjects(running.pause, client, str(folder), found)
            for given in answers(running.pause, client, shown(subjects)):
                show.answer(console, url, given)
            console.print(
                f"\nPage {url}/   docs {url}/docs   logs in {show.shown(folder)}/\n"
                "It runs until Ctrl-C; `make up` runs it in the background.",
                soft_wrap=True,
            )
            _watch(console, running, client)


def smoke(console: Console, folder: Path, options: Options) -> bool:
    """Start a stack, check its answers, stop it; return whether all were right."""
    began = time.monotonic()
    with running_stack(folder, options, partial(show.step, console)) as running:
        well = _checked(console, running.pause, running.stack.api_url, str(folder))
        well = _rolls_back(console, running.pause, running.stack) and well
        running.tick()
        restarted = [status for status in running.supervisor.statuses() if status.restarts]
        if not well or restarted:
            show.stack(console, folder)
    for status in restarted:
        console.print(f"[red]✗[/] {status.name} was restarted: see {status.log}", soft_wrap=True)
    console.print(f"{time.monotonic() - began:.0f} s, all stopped")
    return well and not restarted


def smoke_url(console: Console, api_url: str) -> bool:
    """Check the answers of a running stack; return whether all were right."""
    return _checked(console, time.sleep, api_url, "its own place", leave_out=(_INSIDE_ONLY,))


def _checked(
    console: Console, pause: Pause, api_url: str, logs: str, leave_out: Iterable[str] = ()
) -> bool:
    with connect_api(api_url) as client:
        subjects = await_subjects(pause, client, logs)
        asked: list[Request] = [one for one in requests(subjects) if one.path not in leave_out]
        given = list(answers(pause, client, asked))
    for answer in given:
        show.check(console, str(answer.request), answer.problem)
    well = sum(answer.problem is None for answer in given)
    console.print(f"{well} of {len(given)} answers as they should be")
    return well == len(given)


def _rolls_back(console: Console, pause: Pause, stack: Stack) -> bool:
    """Have the trainer's command return to the previous generation, once there are two."""
    trainer = next(program for program in stack.programs if program.name == "trainer")
    argv = (*trainer.argv[:3], "rollback")
    deadline = time.monotonic() + _DECIDED_WITHIN_S
    while True:
        done = subprocess.run(
            argv, env=os.environ | trainer.environment, capture_output=True, text=True, check=False
        )
        if done.returncode == 0 or time.monotonic() > deadline:
            break
        pause(1)
    show.check(console, "python -m trainer rollback", done.returncode and done.stdout + done.stderr)
    return done.returncode == 0


def _watch(console: Console, running: Running, client: httpx.Client) -> None:
    """Show a status line until something is raised; in a file, one for each restart."""
    every_s = _STATUS_EVERY_S if console.is_terminal else _STATUS_EVERY_S_IN_A_FILE
    restarts = -1
    # Over one second, rates would fluctuate as the simulator and the workers alternate.
    readings = deque([_read(running, client)], maxlen=_READINGS)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            running.pause(every_s)
            readings.append(_read(running, client))
            statuses = running.supervisor.statuses()
            rates = metrics.rates(readings[0], readings[-1])
            line = show.status_line(readings[-1], rates, _generation(client), statuses)
            if console.is_terminal:
                live.update(line, refresh=True)
            elif restarts < (restarts := sum(status.restarts for status in statuses)):
                console.print(line, soft_wrap=True)


def _generation(client: httpx.Client) -> str | None:
    """Return the generation that most users are served."""
    try:
        first = client.get("/v1/models").raise_for_status().json()["variants"][0]
    except httpx.HTTPError:
        return None
    return str(first["serves"]["generation"])


def _read(running: Running, client: httpx.Client) -> metrics.Reading:
    return metrics.read(metrics.scrape(running.stack.worker_urls, client), time.monotonic())
