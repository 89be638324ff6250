"""Terminal output of the local stack: steps, answers, the status line."""

import json
import math
import shlex
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from infra.local.asking import Answer
from infra.local.logged import last_words, warnings
from infra.local.metrics import Rates, Reading
from infra.local.run import Report, read_report
from infra.local.supervisor import State, Status
from runtime.running_stack import STACK_REPORT_OLD_AFTER_S

_SHOWN_OF_AN_ANSWER: Final = 235
"""characters"""
_STATE_STYLES: Final = {
    State.RUNNING: "green",
    State.SILENT: "red",
    State.WAITING: "red",
    State.DONE: "dim",
}


def step(console: Console, name: str, what: str, address: str) -> None:
    """Print that a process has started."""
    line = Text.assemble(("  ✓ ", "green"), f"{name:<10}", f"{what:<32}", (address, "cyan"))
    console.print(line, soft_wrap=True)


def answer(console: Console, api_url: str, given: Answer) -> None:
    """Print a request as a curl command, and the start of the response."""
    console.print(Text(f"\n$ {given.request.curl(api_url)}", style="bold"), soft_wrap=True)
    if given.problem is not None:
        console.print(Text(f"! {given.problem}", style="red"), soft_wrap=True)
    else:
        body = Text(json.dumps(given.body, ensure_ascii=False))
        body.truncate(_SHOWN_OF_AN_ANSWER, overflow="ellipsis")
        JSONHighlighter().highlight(body)
        console.print(body, soft_wrap=True)


def check(console: Console, what: str, problem: object) -> None:
    """Print whether something is right, and what is wrong with it."""
    if problem:
        line = Text.assemble(("  ✗ ", "red"), what, (f"  {problem}", "red"))
    else:
        line = Text.assemble(("  ✓ ", "green"), what)
    console.print(line, soft_wrap=True)


def status_line(
    reading: Reading, rates: Rates, generation: str | None, processes: list[Status]
) -> Text:
    """Return the current status line; problems come first."""
    line = Text(no_wrap=True, overflow="ellipsis")
    away = [status.name for status in processes if status.state is State.WAITING]
    if away:
        line.append(f"restarting {', '.join(away)}  ", "red")
    silent = [status.name for status in processes if status.state is State.SILENT]
    if silent:
        line.append(f"no answer from {', '.join(silent)}  ", "red")
    if restarts := sum(status.restarts for status in processes):
        line.append(f"{restarts} restarts  ", "yellow")
    if reading.rejected:
        line.append(f"{reading.rejected:,.0f} rejected  ", "yellow")
    line.append(f"{rates.quotes_per_s:,.0f}", "bold").append(" quotes/s  ")
    line.append(f"{rates.interactions_per_s:,.0f}", "bold").append(" events/s  ")
    fresh = "-" if math.isnan(reading.freshness_s) else f"{reading.freshness_s:.1f} s"
    line.append(f"lag {reading.lag_records:,.0f}  bars {fresh} old  model {generation or '-'}")
    return line


def processes(report: Report, now_s: float | None = None) -> Table:
    """Return a table of the processes; `now_s` is the supervisor's clock, the system's uptime."""
    now_s = time.monotonic() if now_s is None else now_s
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("process", "pid", "state", "for", "restarts", "log", "address"):
        right = heading in ("pid", "for", "restarts")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for status in report.processes:
        table.add_row(
            status.name,
            "" if status.pid is None else str(status.pid),
            Text(_state(status), _STATE_STYLES[status.state]),
            _duration(now_s - status.since_s),
            str(status.restarts),
            Path(status.log).name,
            report.addresses.get(status.name, ""),
        )
    return table


def age(report: Report, now_s: float | None = None) -> Text | None:
    """Return the age of the report if it is overdue, else None."""
    old_s = (time.monotonic() if now_s is None else now_s) - report.at_s
    if old_s < STACK_REPORT_OLD_AFTER_S:
        return None
    said = f"That was {_duration(old_s)} ago: its supervisor hangs, or cannot write (a full disk?)."
    return Text(said, "red")


def stack(console: Console, folder: Path) -> None:
    """Print the processes of the stack in a folder, as it last reported them."""
    report = read_report(folder)
    if report is None:
        return
    console.print()
    console.print(processes(report))
    if (old := age(report)) is not None:
        console.print(old, soft_wrap=True)
    for status in report.processes:
        if status.reason is not None and status.state is not State.DONE:
            # Of a program that runs again, these may be words of the new process.
            words = last_words(Path(status.log))
            why = f"{status.name} ended, {status.reason}" + (words and f"; its log says: {words}")
            console.print(Text(why, "red"), soft_wrap=True)
    console.print(f"logs in {shown(folder)}/", style="dim", soft_wrap=True)
    settings = {**report.settings, "API_URL": report.addresses.get("api", "")}
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items() if value)
    console.print(f"export {exports}", soft_wrap=True)


def warned(console: Console, folder: Path) -> None:
    """Print what the programs of the stack in a folder have warned of."""
    report = read_report(folder)
    for status in report.processes if report else ():
        for warning in warnings(Path(status.log)):
            console.print(Text(f"{status.name}: {warning}", "yellow"), soft_wrap=True)


def _state(status: Status) -> str:
    if status.state is State.WAITING:
        return f"restarting: {status.reason}"
    return status.state


def _duration(seconds: float) -> str:
    """Return a readable duration.

    >>> [_duration(s) for s in (0.4, 61, 3_700)]
    ['0 s', '1 min 1 s', '1 h 1 min']
    """
    minutes, s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {s} s" if minutes else f"{s} s"


def shown(path: Path) -> str:
    """Return the shortest form of a path from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
