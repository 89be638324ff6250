"""`python -m benchmarks NAME`: measures here and now, on servers of its own."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from benchmarks.contests import contest_bars, contest_interactions, measure_limits
from benchmarks.report import Ceilings, Comparison
from benchmarks.rounds import Run
from benchmarks.stage import ContenderError, Stage, staged
from infra.local.paths import HOME
from infra.local.process import NotReadyError
from infra.local.run import BusyError, claimed, interruptible

_WIDTH_OF_A_FILE: Final = 120

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
results = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)
progress = Console(stderr=True)

Rounds = Annotated[int, typer.Option(min=1, help="each lets every contender run once")]
Json = Annotated[bool, typer.Option("--json", help="print lines of JSON instead of a table")]
Instruments = Annotated[int, typer.Option(min=1, help="that quote in turn")]
Quotes = Annotated[int, typer.Option(min=1_000, help="that ours folds in a round")]


@app.callback()
def main() -> None:
    """Measure our programs against baselines on the same data, broker and store."""


@app.command()
def bars(
    rounds: Rounds = 5,
    quotes: Quotes = 1_000_000,
    baseline_quotes: Annotated[
        int, typer.Option(min=1_000, help="that the baseline folds at least")
    ] = 50_000,
    instruments: Instruments = 50_000,
    *,
    json: Json = False,
) -> None:
    """JSON quotes in Kafka to minute bars in Redis, against a plain Faust app."""
    with _stage() as stage:
        _print(contest_bars(stage, rounds, quotes, baseline_quotes, instruments, _say), json=json)


@app.command()
def interactions(
    rounds: Rounds = 5,
    events: Annotated[
        int, typer.Option(min=1_000, help="that each contender folds in a round")
    ] = 20_000,
    users: Annotated[int, typer.Option(min=1)] = 1_000,
    instruments: Annotated[int, typer.Option(min=1)] = 2_000,
    *,
    json: Json = False,
) -> None:
    """User events in Kafka to histories and counts in Redis, against an event at a time."""
    with _stage() as stage:
        _print(contest_interactions(stage, rounds, events, users, instruments, _say), json=json)


@app.command()
def limits(
    rounds: Rounds = 5,
    quotes: Quotes = 1_000_000,
    instruments: Instruments = 50_000,
    *,
    json: Json = False,
) -> None:
    """Each step of `bars` alone: what bounds the worker."""
    with _stage() as stage:
        runs = measure_limits(stage, rounds, quotes, instruments, _say)
        work = f"{quotes:,} JSON quotes of {instruments:,} instruments, one step alone"
        found = Ceilings(work, "quotes/s", runs, stage.broker.product, stage.store.product)
        _print(found, json=json)


def _say(number: int, name: str, run: Run) -> None:
    progress.print(
        f"round {number + 1}: {name} {run.rate:,.0f}/s ({run.records:,} in {run.seconds:.2f} s)",
        style="dim",
    )


def _print(result: Comparison | Ceilings, *, json: bool) -> None:
    if json:
        sys.stdout.write(result.lines())
    else:
        result.show(results)


@contextlib.contextmanager
def _stage() -> Iterator[Stage]:
    """Run the servers; exit with 1, in plain words, on what may go wrong with a sound program."""
    folder = HOME / "benchmarks"
    try:
        with interruptible(), claimed(folder), staged(folder) as stage:
            yield stage
    except (BusyError, NotReadyError, ContenderError) as error:
        progress.print(Text.assemble(("error ", "red"), str(error)), soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


if __name__ == "__main__":
    app()
