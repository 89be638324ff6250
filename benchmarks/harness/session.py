"""The session of a command of `benchmarks`: its servers, messages and output."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import Report, compared
from benchmarks.harness.rounds import Run, interleaved
from benchmarks.harness.stage import Stage, staged
from infra.local.paths import HOME
from infra.local.process import NotReadyError
from infra.local.run import BusyError, claimed, interruptible

Rounds = Annotated[int, typer.Option(min=1, help="each lets every contender run once")]
Json = Annotated[bool, typer.Option("--json", help="print lines of JSON instead of a table")]
Quotes = Annotated[int, typer.Option(min=1_000, help="in Kafka, which ours folds in a round")]
Instruments = Annotated[int, typer.Option(min=1, help="that quote in turn")]

_WIDTH_OF_A_FILE: Final = 140

results: Final = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)
progress: Final = Console(stderr=True)


def present(result: Report, *, json: bool) -> None:
    """Print a result."""
    if json:
        sys.stdout.write(result.lines())
    else:
        result.show(results)


def contest(
    stage: Stage,
    name: str,
    work: str,
    unit: str,
    contenders: Mapping[str, Callable[[], Run]],
    rounds: int,
    *,
    json: bool,
) -> None:
    """Let ours and the baseline, in this order, run in interleaved rounds; print the result."""
    runs = interleaved(contenders, rounds, say)
    present(compared(name, work, unit, runs, stage.servers), json=json)


def say(number: int, name: str, run: Run) -> None:
    """Print on standard error what a contender's run came to."""
    text = f"round {number + 1}: {name} {run.rate:,.0f}/s ({run.records:,} in {run.seconds:.2f} s)"
    progress.print(text, style="dim")


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Hand out an empty folder, to one benchmark at a time.

    What goes wrong in a sound program is printed in plain words, and the exit code is 1.
    """
    path = HOME / "benchmarks"
    try:
        with interruptible(), claimed(path):
            yield path
    except (BusyError, NotReadyError, ContenderError) as error:
        progress.print(Text.assemble(("error ", "red"), str(error)), soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@contextlib.contextmanager
def on_stage() -> Iterator[Stage]:
    """Run broker and store for the block; fail as `folder` does."""
    with folder() as path, staged(path) as stage:
        yield stage
