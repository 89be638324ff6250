"""`python -m producers`: reads the options and settings, makes the parts and puts them together."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Final

import typer

from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES
from producers.files import open_rows
from producers.instruments import instruments_in
from producers.pace import MAX_SPEED, parse_speed
from producers.replay import INTERACTION_ROWS, QUOTE_ROWS, Kind, M, check_columns, replayed
from producers.run import Rejected, Source, run
from producers.settings import ProducerSettings
from producers.simulation import Plan, simulated
from runtime.settings import SettingsError, read_settings

USAGE_ERROR: Final = 2
"""The exit status of a command that cannot do what it was asked, as shells have it."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Publish quotes, interactions and instruments to Kafka. "
    "Exits with 1 if anything was not delivered.",
)
replay_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Publish the rows of a file."
)
app.add_typer(replay_app, name="replay")


def _speed(text: str) -> float:
    try:
        return parse_speed(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


File = Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet")]
Speed = Annotated[
    float,
    typer.Option(
        parser=_speed,
        metavar="Nx|max",
        help="event time against wall-clock time: 1x, 60x, ..., or max",
    ),
]


@app.command()
def simulate(
    instruments: Annotated[int, typer.Option(min=1, help="how many there are")] = 500,
    users: Annotated[int, typer.Option(min=1, help="how many there are")] = 2000,
    rate: Annotated[float, typer.Option(min=0, help="quotes/s in total")] = 500,
    event_rate: Annotated[float, typer.Option(min=0, help="interactions/s in total")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="of all that is drawn")] = 1,
    duration: Annotated[
        int | None, typer.Option(min=0, help="seconds after the back-fill; endless without")
    ] = None,
    backfill_minutes: Annotated[
        int, typer.Option(min=0, help="minutes before now that are published first, at once")
    ] = 5,
) -> None:
    """Publish the instruments of a simulated market, then its quotes and interactions, live."""
    now_ms = _now_ms()
    plan = Plan(
        instruments=instruments,
        users=users,
        quotes_per_s=rate,
        events_per_s=event_rate,
        backfill_s=backfill_minutes * 60,
        duration_s=duration,
        seed=seed,
    )

    source = Source(
        topics=(INSTRUMENTS.name, QUOTES.name, INTERACTIONS.name),
        batches=simulated(plan, now_ms),
        speed=1,
        event_start_ms=now_ms,
        share_done=_elapsed_share(duration),
    )
    _exit_after(f"simulating, seed {seed}", nullcontext(source))


@replay_app.command("quotes")
def replay_quotes(file: File, speed: Speed = "1x") -> None:  # type: ignore[assignment]
    """Publish quotes: columns ts_ms, instrument_id, price; optional: size."""
    _exit_after(f"replaying {file.name}", _rows(QUOTE_ROWS, file, speed))


@replay_app.command("interactions")
def replay_interactions(file: File, speed: Speed = "1x") -> None:  # type: ignore[assignment]
    """Publish interactions: columns ts_ms, user_id, instrument_id; optional ones, too.

    They are: event (view, click, watch or trade; trade without one), price, quantity.
    """
    _exit_after(f"replaying {file.name}", _rows(INTERACTION_ROWS, file, speed))


@replay_app.command("instruments")
def replay_instruments(file: File) -> None:
    """Publish instruments, at once: columns instrument_id, symbol (or code); optional ones, too.

    They are: name (the symbol without one), categories (separated by semicolons), listed (true or
    false; true without one).
    """
    _exit_after(f"replaying {file.name}", _instruments(file))


@contextmanager
def _instruments(path: Path) -> Iterator[Source]:
    with open_rows(path) as file:
        rejected = Rejected()
        yield Source(
            topics=(INSTRUMENTS.name,),
            batches=instruments_in(file, rejected),
            speed=MAX_SPEED,
            event_start_ms=None,
            share_done=file.share_read,
            rejected=rejected,
        )


@contextmanager
def _rows(kind: Kind[M], path: Path, speed: float) -> Iterator[Source]:
    with open_rows(path) as file:
        check_columns(file, kind)
        rejected = Rejected()
        yield Source(
            topics=(kind.topic.name,),
            batches=replayed(file, kind, rejected, _now_ms),
            speed=speed,
            event_start_ms=None,
            share_done=file.share_read,
            rejected=rejected,
        )


def _exit_after(title: str, opening: AbstractContextManager[Source]) -> None:
    try:
        settings = read_settings(ProducerSettings)
    except SettingsError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    raise typer.Exit(run(title, settings, opening))


def _elapsed_share(duration_s: int | None) -> Callable[[], float | None]:
    start_s = time.monotonic()
    return lambda: min((time.monotonic() - start_s) / duration_s, 1.0) if duration_s else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    app(prog_name="python -m producers")
