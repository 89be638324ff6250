"""Composition root of the archive: reads the settings, and creates and connects the parts."""

import contextlib
import enum
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from confluent_kafka import KafkaException
from pyiceberg.catalog import Catalog
from rich.console import Console

from archive.archiver import Archiver
from archive.maintenance import rounds
from archive.reading.broker import Broker
from archive.reading.consumer import NotAllowedError
from archive.service import (
    MAINTENANCE_STALLED_AFTER_S,
    Patience,
    State,
    StoppedError,
    is_retryable,
    serve,
    watch,
)
from archive.settings import ArchiveSettings
from archive.status import erasures as shown_erasures
from archive.status import status as shown_status
from archive.stored_table import StoredTable
from archive.writing.table_writer import TableWriter
from contracts.archive import TABLES
from runtime.archive.catalog import ArchiveError, open_catalog
from runtime.archive.positions import PositionsError
from runtime.archive.tables import open_table
from runtime.kafka.tokens import TokenError
from runtime.logs import configure_logs
from runtime.settings import SettingsError, read_settings

USAGE_ERROR: Final = 2
_WIDTH_OF_A_FILE: Final = 160
_FOR_OPERATORS: Final = (
    ArchiveError,
    PositionsError,
    NotAllowedError,
    TokenError,
    KafkaException,
)

TableName = enum.StrEnum("TableName", {table.name: table.name for table in TABLES})  # type: ignore[misc]

app = typer.Typer(
    help="Writes what is in Kafka to Apache Iceberg tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
log = structlog.get_logger(__name__)


@app.command()
def run() -> None:
    """Archive until SIGTERM or Ctrl-C; commit what was read, and end."""
    with _serving(State()) as (settings, catalog, state, stop):
        good_for_s = settings.times.files_good_for_s
        tables = [StoredTable(catalog, settings.archive, table) for table in TABLES]
        writers = [TableWriter(stored, good_for_s, beat=state.beat) for stored in tables]
        archiver = Archiver(settings, writers, Broker(settings.kafka), state, stop)
        log.info("started", catalog=settings.archive.catalog, warehouse=settings.archive.warehouse)
        archiver.run()
        log.info("stopped")


@app.command()
def maintain(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="run one round and exit, for your own schedule")
    ] = False,
) -> None:
    """Merge small files, erase, and delete what was replaced, until SIGTERM or Ctrl-C."""
    if once:
        _round(is_forced=False)
        return
    with _serving(State(MAINTENANCE_STALLED_AFTER_S)) as (settings, catalog, state, stop):
        state.has_begun = True
        log.info("started", catalog=settings.archive.catalog, warehouse=settings.archive.warehouse)
        rounds.maintain_until(stop, catalog, settings, Broker(settings.kafka), state)
        log.info("stopped")


@app.command()
def compact() -> None:
    """Run a round of maintenance now, and merge files however new they are."""
    _round(is_forced=True)


def _round(*, is_forced: bool) -> None:
    settings = _settings()
    with _errors_logged():
        catalog, broker = open_catalog(settings.archive), Broker(settings.kafka)
        if rounds.maintain(catalog, settings, broker, TABLES, is_forced=is_forced):
            raise typer.Exit(1)


@app.command()
def status() -> None:
    """Show what the tables have."""
    settings = _settings()
    with _errors_logged():
        _console().print(shown_status(open_catalog(settings.archive), settings.archive, TABLES))


@app.command()
def erasures() -> None:
    """Show how many users were erased, and of how many there are still rows."""
    settings = _settings()
    with _errors_logged():
        _console().print(shown_erasures(open_catalog(settings.archive), settings.archive))


@app.command()
def check(
    table: Annotated[list[TableName] | None, typer.Option(help="repeatable; default: all")] = None,
    docs: Annotated[Path | None, typer.Option(help="folder for pages with the results")] = None,
) -> None:
    """Check the rows of the tables; exit with 1 if some violate an expectation."""
    settings = _settings()
    tables = [each for each in TABLES if not table or each.name in table]
    with _errors_logged():
        try:
            from archive import checks
        except ModuleNotFoundError as error:
            raise ArchiveError(
                f"a check needs the package {error.name}: install the extra quality"
            ) from error
        checked = checks.check(open_catalog(settings.archive), settings.archive, tables, docs)
    _console().print(checks.shown(checked))
    if any(each.failed for each in checked):
        raise typer.Exit(1)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)


def _settings() -> ArchiveSettings:
    try:
        settings = read_settings(ArchiveSettings)
    except SettingsError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    configure_logs("archive", settings)
    return settings


def _open_tables(settings: ArchiveSettings) -> Catalog:
    """Return the catalog, whose tables exist and are valid."""
    catalog = open_catalog(settings.archive)
    for table in TABLES:
        open_table(catalog, settings.archive, table)
    return catalog


def await_catalog(settings: ArchiveSettings, state: State, stop: threading.Event) -> Catalog:
    """Return the catalog once it answers; until then the archive is healthy, and not ready.

    Raises:
        ArchiveError: a table has unexpected columns or partitions.
        StoppedError: a stop was requested before that.
    """

    def wait(seconds: float) -> None:
        state.beat()
        stop.wait(seconds)

    return Patience(state, stop)(wait, _open_tables, settings)


@contextlib.contextmanager
def _serving(
    state: State,
) -> Iterator[tuple[ArchiveSettings, Catalog, State, threading.Event]]:
    """Serve health and metrics, and yield what a program needs once the catalog answers."""
    settings = _settings()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watch(state)
    with _errors_logged():
        if settings.metrics_port:
            serve(state, settings.metrics_host, settings.metrics_port)
        try:
            catalog = await_catalog(settings, state, stop)
        except StoppedError:
            raise typer.Exit from None
        yield settings, catalog, state, stop


@contextlib.contextmanager
def _errors_logged() -> Iterator[None]:
    """Exit with 1 on errors that need an operator, or if a server stays unreachable."""
    try:
        yield
    except _FOR_OPERATORS as error:
        log.error("cannot archive", error=str(error))  # noqa: TRY400 (the message says it all)
        raise typer.Exit(1) from error
    except Exception as error:
        if not is_retryable(error):
            raise
        log.error("a server is away", error=f"{type(error).__name__}: {error}")  # noqa: TRY400 (the same)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app(prog_name="python -m archive")
