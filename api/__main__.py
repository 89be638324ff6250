"""`python -m api`: serve HTTP until SIGTERM; `python -m api keys`: make and remove API keys."""

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

import typer

from api.app import create_app
from api.hot.server import Server
from api.http.keys.commands import app as keys
from api.settings import ApiSettings
from runtime.kafka.tokens import TokenError
from runtime.logs import configure_logs
from runtime.settings import SettingsError, read_settings

if TYPE_CHECKING:
    from runtime.archive.config import ArchiveConfig

app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)
app.add_typer(keys, name="keys")


@app.callback()
def _serve_unless_told(context: typer.Context) -> None:
    """Serve the API until SIGTERM, by settings from environment variables."""
    if context.invoked_subcommand is None:
        main()


def main() -> None:
    """Serve in one process; on SIGTERM, answer the requests in flight and exit 0."""
    try:
        settings, archive = read_settings(ApiSettings), _archive()
    except SettingsError as error:
        sys.exit(str(error))
    configure_logs("api", settings)
    try:
        settings.kafka.librdkafka()
        served = create_app(settings, archive=archive)
    except (SettingsError, TokenError) as error:  # raised later, it would print a traceback
        sys.exit(str(error))
    # uvicorn re-raises the signal that stopped it once everything is closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = Server(
        served,
        settings.api_host,
        settings.api_port,
        private=_private(settings),
        proxies=settings.forwarded_allow_ips,
    )
    _collect_garbage_seldom()
    server.run()
    if not server.started:
        sys.exit(f"api: cannot serve on {settings.api_host}:{settings.api_port}")


def _archive() -> "ArchiveConfig | None":
    """Return where the archive is; nothing of it is imported if no setting says so."""
    if not any(name.upper().startswith("ARCHIVE_") for name in os.environ):
        return None
    from runtime.archive.config import archive_from_env

    return archive_from_env()


def _private(settings: ApiSettings) -> tuple[str, int] | None:
    port = settings.api_private_port
    return (settings.api_private_host, port) if port else None


def _collect_garbage_seldom() -> None:
    """Freeze the objects that live as long as the process, and collect the rest rarely.

    A collection pauses every request in flight, and requests leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


if __name__ == "__main__":
    app(prog_name="python -m api")
