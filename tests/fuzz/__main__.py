"""`python -m tests.fuzz`: by the OpenAPI document, then without it, against a server of its own."""

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.fuzz.cases import cases
from tests.fuzz.run import Tally, run
from tests.fuzz.schema import schemathesis
from tests.fuzz.served import Served, served_by_own_servers


def main(
    count: Annotated[int, typer.Option("--cases", min=1, help="of the fuzz")] = 10_000,
    examples: Annotated[int, typer.Option(min=1, help="of schemathesis, for an operation")] = 200,
    seed: Annotated[int | None, typer.Option(help="of both; at random if absent")] = None,
) -> None:
    """Put requests of every kind to `python -m api`, and judge its answers and its log."""
    seed = random.randrange(2**32) if seed is None else seed
    console = Console()
    console.print(f"seed {seed}", highlight=False)
    with (
        tempfile.TemporaryDirectory(prefix="tickrec-fuzz-") as folder,
        served_by_own_servers(Path(folder)) as api,
    ):
        agrees = _schemathesis(console, api, seed, examples)
        tally = _fuzz(console, api, seed, count)
        wrong = [*map(str, tally.findings), *api.wrong_answers(), *api.log_complaints()]
    console.print(_table(tally))
    for complaint in wrong:
        console.print(complaint, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{tally.cases:,} cases, {len(wrong)} complaints", highlight=False)
    raise typer.Exit(int(bool(wrong) or not agrees))


def _schemathesis(console: Console, api: Served, seed: int, examples: int) -> bool:
    """Run schemathesis, say what it says, and return whether it found nothing."""
    with console.status(f"schemathesis, {examples} examples for each operation"):
        ended = schemathesis(api.address, seed, examples)
    console.print(ended.stdout, markup=False, highlight=False)
    return ended.returncode == 0


def _fuzz(console: Console, api: Served, seed: int, count: int) -> Tally:
    """Put the cases to the server, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("cases", total=count)
        return asyncio.run(run(api.port, cases(seed, count), lambda: progress.advance(task)))


def _table(tally: Tally) -> Table:
    """Return how often each status and type of problem was answered."""
    table = Table("status", "problem", "answers", box=None)
    table.columns[-1].justify = "right"
    for kind, answers in sorted(tally.answers.items()):
        status, _, problem = kind.partition(" ")
        table.add_row(status, problem, f"{answers:,}")
    return table


if __name__ == "__main__":
    typer.run(main)
