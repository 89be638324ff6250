"""Composition root of the trainer: reads the settings, and creates what the runs need."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import typer
from prometheus_client import start_http_server

from runtime.logs import configure_logs
from runtime.settings import read_settings
from runtime.topology import TopologyError
from trainer.commands import operations
from trainer.commands.engines import Engine, EngineName, Master, SnapshotId, source_of
from trainer.commands.evaluate import evaluate
from trainer.commands.options import errors_reported
from trainer.reading import CorruptValueError
from trainer.run.lock import LEASE_S
from trainer.run.runs import Runs
from trainer.settings import TrainerSettings
from trainer.settings_file import SettingsFileError
from trainer.source import SourceError

DONE: Final = frozenset({"trained", "empty"})
"""The outcomes with which `once` succeeds."""
LEASES_TO_WAIT: Final = 2
"""Long enough for `once` to outlast the lock of a dead trainer."""

app = typer.Typer(
    help="Turns the counts in Redis into ranked lists in Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
log = structlog.get_logger(__name__)


@app.command()
def run() -> None:
    """Train every TRAIN_EVERY_SECONDS, if anything changed, until SIGTERM or Ctrl-C."""
    settings, stop = _start()
    _serve_metrics(settings.metrics_host, settings.metrics_port)
    log.info(
        "started",
        every_seconds=settings.train_every_seconds,
        metrics_port=settings.metrics_port,
        namespace=settings.namespace,
    )
    with _errors_logged():
        Runs(settings, stop).periodically()
    log.info("stopped")


@app.command()
def once(
    engine: EngineName = Engine.REDIS, master: Master = None, snapshot: SnapshotId = None
) -> None:
    """Train now, changed or not; exit with 1 if nothing could be published."""
    settings, stop = _start()
    wait_s = LEASES_TO_WAIT * LEASE_S
    with _errors_logged():
        with errors_reported():
            source = source_of(engine, master, snapshot, stop)
        runs = Runs(settings, stop, source)
        outcome = runs.once(only_if_changed=False, wait_for_lock_s=wait_s)
    raise typer.Exit(0 if outcome in DONE else 1)


app.command()(evaluate)
operations.register(app)


def _start() -> tuple[TrainerSettings, threading.Event]:
    with errors_reported():
        settings = read_settings(TrainerSettings)
    configure_logs("trainer", settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return settings, stop


def _serve_metrics(host: str, port: int) -> None:
    if not port:
        return
    try:
        start_http_server(port, host)
    except OSError as error:
        log.error("cannot serve metrics: choose another METRICS_PORT", port=port, error=str(error))  # noqa: TRY400 (the message says it all)
        raise typer.Exit(1) from error


@contextmanager
def _errors_logged() -> Iterator[None]:
    """Exit with 1 on errors that need an operator."""
    try:
        yield
    except (TopologyError, CorruptValueError, SettingsFileError, SourceError) as error:
        log.error("cannot train", error=str(error))  # noqa: TRY400 (the message says it all)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
