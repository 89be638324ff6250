"""`python -m producers`: reads options and settings, and creates and connects the parts."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from contracts.times import MINUTE_S
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES
from producers.replay import app as replay
from producers.resume import read_ends, without_published
from producers.run import Source, exit_after
from producers.settings import ProducerSettings
from producers.simulation import Plan, simulated
from runtime.settings import read_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Publish quotes, interactions and instruments to Kafka. "
    "Exits with 1 if anything was not delivered.",
)
app.add_typer(replay, name="replay")


@app.command()
def simulate(
    instruments: Annotated[int, typer.Option(min=1, help="number of instruments")] = 500,
    users: Annotated[int, typer.Option(min=1, help="number of users")] = 2000,
    rate: Annotated[float, typer.Option(min=0, help="quotes/s in total")] = 500,
    event_rate: Annotated[float, typer.Option(min=0, help="interactions/s in total")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="of the random numbers")] = 1,
    duration: Annotated[
        int | None, typer.Option(min=0, help="seconds to run after the back-fill; default: endless")
    ] = None,
    backfill_minutes: Annotated[
        int,
        typer.Option(min=0, help="minutes of past data to publish first; sparse beyond the last 5"),
    ] = 60,
) -> None:
    """Publish the instruments of a simulated market, then its quotes and interactions, live.

    Existing records of the past are not published again.
    """
    now_ms = _now_ms()
    plan = Plan(
        instruments=instruments,
        users=users,
        quotes_per_s=rate,
        events_per_s=event_rate,
        backfill_s=backfill_minutes * MINUTE_S,
        duration_s=duration,
        seed=seed,
    )

    def opening() -> AbstractContextManager[Source]:
        settings = read_settings(ProducerSettings)
        timed = (QUOTES.name, INTERACTIONS.name)
        source = Source(
            topics=(INSTRUMENTS.name, *timed),
            batches=without_published(
                simulated(plan, now_ms),
                lambda: read_ends(settings.kafka, timed, settings.delivery_timeout_s).of,
            ),
            speed=1,
            event_start_ms=now_ms,
            share_done=_elapsed_share(duration),
        )
        return nullcontext(source)

    exit_after(f"simulating, seed {seed}", opening)


@app.command()
def adapt(
    mapping: Annotated[Path, typer.Option(help="a TOML file, see docs/adapt.md")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only show the mapped examples")
    ] = False,
) -> None:
    """Publish the records of other topics, in other formats, until SIGTERM or Ctrl-C.

    Each record counts exactly once, however often this is killed. What cannot be mapped goes to the
    dead letters.
    """
    try:
        from producers.adapt.command import run
    except ImportError as error:
        raise typer.BadParameter(
            f"this needs packages that are not installed ({error}): install "
            "tickrec[producers,adapt], or use the image tickrec/producers-adapt"
        ) from error
    run(mapping, is_dry=dry_run)


def _elapsed_share(duration_s: int | None) -> Callable[[], float | None]:
    start_s = time.monotonic()
    return lambda: min((time.monotonic() - start_s) / duration_s, 1.0) if duration_s else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    app(prog_name="python -m producers")
