"""`demo` and `smoke`: a stack that runs as long as the command."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live

from contracts.keyspace import Keyspace
from infra.local import metrics, show
from infra.local.asking import Ask, Question, ask, connect_api
from infra.local.calling import Calling
from infra.local.described import document_of
from infra.local.look import look
from infra.local.questions import questions
from infra.local.run import Running, running_stack
from infra.local.stack import Options
from infra.local.subjects import Subjects, served_generation
from infra.local.tour import answers, await_subjects
from runtime.redis.stores import Store, connect
from tickrec_client import Tickrec

_STATUS_EVERY_S: Final = 1.0
_STATUS_EVERY_S_IN_A_FILE: Final = 5.0
_READINGS: Final = 6
_CLIENT_NAME: Final = "tickrec-local"


def demo(console: Console, folder: Path, options: Options) -> None:
    """Start a stack, show its responses, then its status, until Ctrl-C."""
    began = time.monotonic()
    with running_stack(folder, options, partial(show.step, console)) as running:
        stack = running.stack
        with (
            connect(stack.store.address, _CLIENT_NAME) as store,
            connect_api(stack.api_url) as client,
        ):
            with console.status("waiting for the first bars, histories and lists ..."):
                subjects = _subjects(running, store, client)
            asked = questions(subjects, document_of(client))
            for given in answers(running.pause, partial(ask, client), asked):
                show.answer(console, stack.api_url, given)
            looked = look(store, Keyspace(stack.namespace), subjects)
            show.keys(console, stack.store.address, looked)
            show.stack(console, folder)
            console.print(
                f"\nAll of this took {time.monotonic() - began:.0f} s, and it runs until Ctrl-C.\n"
                f"Page {stack.api_url}/   docs {stack.api_url}/docs\n"
            )
            _watch(console, running, store, client)


Asking = Callable[
    [httpx.Client, Subjects, Mapping[str, Any], Sequence[Question]], AbstractContextManager[Ask]
]
"""Makes an `Ask` of a running API, given its OpenAPI document and all questions."""


@contextmanager
def by_package(
    client: httpx.Client, subjects: Subjects, document: Mapping[str, Any], _: Sequence[Question]
) -> Iterator[Ask]:
    """Ask with `clients/python`."""
    with Tickrec(str(client.base_url)) as tickrec:
        yield Calling(tickrec, client, document, subjects.instrument_id)


def smoke(console: Console, folder: Path, options: Options, asking: Asking = by_package) -> bool:
    """Start a stack, check its responses, stop it; return whether all were correct."""
    began = time.monotonic()
    with running_stack(folder, options, partial(show.step, console)) as running:
        stack = running.stack
        with (
            connect(stack.store.address, _CLIENT_NAME) as store,
            connect_api(stack.api_url) as client,
        ):
            subjects = _subjects(running, store, client)
            document = document_of(client)
            asked = [*questions(subjects, document)]
            with asking(client, subjects, document, asked) as ask_api:
                given = list(answers(running.pause, ask_api, asked))
        for answer in given:
            show.check(console, answer)
        running.tick()
        restarted = [status for status in running.supervisor.statuses() if status.restarts]
        failed = [answer for answer in given if answer.problem is not None]
        if failed or restarted:
            show.stack(console, folder)
    for status in restarted:
        console.print(f"[red]✗[/] {status.name} was restarted: see {status.log}", soft_wrap=True)
    console.print(
        f"{len(given) - len(failed)} of {len(given)} answers as they should be, "
        f"{len(restarted)} processes restarted, {time.monotonic() - began:.0f} s, all stopped"
    )
    return not failed and not restarted


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
