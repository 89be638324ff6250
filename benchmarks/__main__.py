"""`python -m benchmarks NAME`: measures here and now, on servers of its own."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from benchmarks.contests import (
    contest_bars,
    contest_interactions,
    contest_poison,
    measure_limits,
)
from benchmarks.engines import Engine, program
from benchmarks.environments import NoEnvironmentError
from benchmarks.keepup import Load, Trial, search, try_load
from benchmarks.models import SEED, TEST_SHARE, Standings
from benchmarks.models import measure as measure_models
from benchmarks.reads import parts as read_parts
from benchmarks.reads.data import Size
from benchmarks.reads.measured import Measured
from benchmarks.reads.saturation import Saturation
from benchmarks.reads.scene import StoreProduct, set_up
from benchmarks.report import Ceilings, Comparison
from benchmarks.rolling import Restarts, roll
from benchmarks.rounds import Run
from benchmarks.scaling import measure as measure_scaling
from benchmarks.stage import ContenderError, Stage, staged
from benchmarks.stream import Audience, Streamed
from benchmarks.stream import measure as measure_stream
from benchmarks.train import measure as measure_training
from benchmarks.train_report import Training
from benchmarks.verdicts import HighestRate, Kept
from infra.local.paths import HOME
from infra.local.process import NotReadyError
from infra.local.run import BusyError, claimed, interruptible
from trainer.commands.options import errors_told
from trainer.evaluation.interactions import Splitting
from trainer.evaluation.question import Question

_WIDTH_OF_A_FILE: Final = 120
_KEEP_UP_FOR_S: Final = 60.0
_TRY_FOR_S: Final = 15.0
_WARM_UP_S: Final = 10.0

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
    quotes: Annotated[
        int,
        typer.Option(min=1_000, help="in Kafka, which ours folds; more if the baseline needs it"),
    ] = 4_000_000,
    baseline_quotes: Annotated[
        int | None,
        typer.Option(min=1_000, help="that the baseline folds at least; by its speed if not given"),
    ] = None,
    instruments: Instruments = 50_000,
    vs: Annotated[Engine, typer.Option(help="the baseline")] = Engine.PLAIN_FAUST,
    *,
    json: Json = False,
) -> None:
    """JSON quotes in Kafka to minute bars in Redis, against another engine."""
    with _stage() as stage:
        with progress.status(f"the environment of {vs}, made on first use"):
            peer = program(vs, baseline_quotes)
        _print(contest_bars(stage, rounds, quotes, instruments, peer, _say), json=json)


@app.command()
def interactions(
    rounds: Rounds = 5,
    events: Annotated[
        int, typer.Option(min=1_000, help="that each contender folds in a round")
    ] = 60_000,
    users: Annotated[int, typer.Option(min=1)] = 600,
    instruments: Annotated[int, typer.Option(min=1)] = 2_000,
    *,
    json: Json = False,
) -> None:
    """User events in Kafka to histories and counts in Redis, against an event at a time."""
    with _stage() as stage:
        _print(contest_interactions(stage, rounds, events, users, instruments, _say), json=json)


@app.command()
def poison(
    rounds: Rounds = 5,
    quotes: Quotes = 3_000_000,
    instruments: Instruments = 50_000,
    *,
    json: Json = False,
) -> None:
    """Quotes of which 1 % are bad, against the same quotes without bad ones."""
    with _stage() as stage:
        _print(contest_poison(stage, rounds, quotes, instruments, _say), json=json)


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


@app.command()
def keepup(
    rounds: Rounds = 1,
    seconds: Annotated[
        float | None,
        typer.Option(min=10, help="of publishing [default: 60; 15 for each rate of --highest]"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="that share the quotes")] = 1,
    *,
    highest: Annotated[
        bool, typer.Option("--highest", help="look for the highest rate, in one round")
    ] = False,
    json: Json = False,
) -> None:
    """A live feed, folded and read over HTTP at the same time: lag, and latency to readable."""
    with _stage() as stage:
        servers = (stage.broker.product, stage.store.product)
        if highest:
            _print(_search(stage, Load(seconds or _TRY_FOR_S, workers), servers), json=json)
            return
        load = Load(seconds or _KEEP_UP_FOR_S, workers)
        _warm_up(stage, load)
        trials = [_tell(try_load(stage, load)) for _ in range(rounds)]
        _print(Kept(trials, *servers), json=json)


@app.command()
def rolling(
    workers: Annotated[int, typer.Option(min=2, max=8, help="restarted one after the other")] = 4,
    *,
    json: Json = False,
) -> None:
    """A rolling restart under load: partitions that move, and how old the newest bars get."""
    with _stage() as stage:
        rolled = [roll(stage, workers, is_static=is_static) for is_static in (True, False)]
        _print(Restarts(rolled, stage.broker.product, stage.store.product), json=json)


@app.command()
def scaling(
    rounds: Rounds = 2,
    quotes: Annotated[
        int, typer.Option(min=100_000, help="that one worker folds, or two, on 1 to 8 partitions")
    ] = 2_000_000,
    *,
    json: Json = False,
) -> None:
    """Rates and costs by partitions and workers, instruments, users, history lengths."""
    with _stage() as stage:
        for series in measure_scaling(stage, rounds, quotes, _say):
            _print(series, json=json)


@app.command()
def reads(
    rounds: Rounds = 5,
    seconds: Annotated[int, typer.Option(min=1, help="that each is asked in a round")] = 2,
    parts: Annotated[
        list[read_parts.Part] | None, typer.Option("--part", help="may be repeated; all if absent")
    ] = None,
    store: Annotated[StoreProduct, typer.Option(help="that holds the data")] = StoreProduct.VALKEY,
    instruments: Annotated[int, typer.Option(min=300)] = 50_000,
    users: Annotated[int, typer.Option(min=100)] = 1_000_000,
    *,
    json: Json = False,
) -> None:
    """Hot reads over HTTP, against FastAPI with redis-py on the same data."""
    asked, size = parts or list(read_parts.Part), Size(instruments, users)
    with _claimed() as folder, set_up(folder, store, size, progress) as scene:
        for found in read_parts.measure(scene, asked, rounds, seconds, _say):
            _print(found, json=json)


@app.command()
def stream(
    clients: Annotated[int, typer.Option(min=1, max=4_000, help="of one API process")] = 1_000,
    seconds: Annotated[int, typer.Option(min=5, help="of writing every bar once a second")] = 30,
    *,
    json: Json = False,
) -> None:
    """Live bars to many clients over server-sent events, while a worker's sink writes."""
    with _stage() as stage:
        _print(measure_stream(stage, Audience(clients, seconds)), json=json)


@app.command()
def models(
    interactions: Annotated[
        Path, typer.Option(help="CSV, CSV.gz or Parquet: ts_ms, user_id, instrument_id")
    ],
    split: Annotated[
        Splitting, typer.Option(help="the last of all events, or a share of each user's items")
    ] = Splitting.TEMPORAL,
    trials: Annotated[int, typer.Option(min=1, help="of each model's settings")] = 30,
    *,
    json: Json = False,
) -> None:
    """How good recommendations from counts are, against the models of implicit."""
    question = Question(interactions, None, None, split, TEST_SHARE, SEED)
    with _claimed(), errors_told():
        _print(measure_models(question, trials), json=json)


@app.command()
def train(
    rounds: Rounds = 3,
    items: Annotated[int, typer.Option(min=1_000)] = 50_000,
    pairs: Annotated[int, typer.Option(min=100_000, help="of items that someone has both")] = (
        10_000_000
    ),
    *,
    json: Json = False,
) -> None:
    """Counts in Redis to lists that are served, against scikit-learn, implicit, sparse_dot_topn."""
    with _claimed() as folder:
        _print(measure_training(items, pairs, rounds, folder, _say), json=json)


def _search(stage: Stage, load: Load, servers: tuple[str, str]) -> HighestRate:
    trials: list[Trial] = []

    def once(quotes_per_s: int) -> bool:
        trial = try_load(stage, dataclasses.replace(load, quotes_per_s=quotes_per_s))
        trials.append(_tell(trial))
        return trial.keeps_up

    def keeps_up(quotes_per_s: int) -> bool:
        # A neighbor on the machine may spoil one.
        return any(once(quotes_per_s) for _ in range(2))

    _warm_up(stage, load)
    return HighestRate(search(keeps_up, load.quotes_per_s), trials, *servers)


def _warm_up(stage: Stage, load: Load) -> None:
    """Let the broker's JIT compile what it will run; ours start anew each time."""
    try_load(stage, dataclasses.replace(load, seconds=_WARM_UP_S))


def _tell(trial: Trial) -> Trial:
    progress.print(
        f"{trial.load}: {'kept up' if trial.keeps_up else 'did not keep up'}, lag "
        f"{trial.lag.end_s:.2f} s at the end, p99 {trial.latencies.p99_s:.2f} s",
        style="dim",
        soft_wrap=True,
    )
    return trial


def _say(number: int, name: str, run: Run) -> None:
    progress.print(
        f"round {number + 1}: {name} {run.rate:,.0f}/s ({run.records:,} in {run.seconds:.2f} s)",
        style="dim",
    )


def _print(
    result: Comparison
    | Ceilings
    | Kept
    | HighestRate
    | Measured
    | Restarts
    | Saturation
    | Standings
    | Streamed
    | Training,
    *,
    json: bool,
) -> None:
    if json:
        sys.stdout.write(result.lines())
    else:
        result.show(results)


@contextlib.contextmanager
def _stage() -> Iterator[Stage]:
    """Run broker and store; fail as `_claimed` does."""
    with _claimed() as folder, staged(folder) as stage:
        yield stage


@contextlib.contextmanager
def _claimed() -> Iterator[Path]:
    """Hand out the folder; exit with 1, in plain words, on what goes wrong with a sound program."""
    folder = HOME / "benchmarks"
    try:
        with interruptible(), claimed(folder):
            yield folder
    except (BusyError, NotReadyError, ContenderError, NoEnvironmentError) as error:
        progress.print(Text.assemble(("error ", "red"), str(error)), soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


if __name__ == "__main__":
    app()
