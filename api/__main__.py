"""`python -m api`: serve HTTP until SIGTERM."""

import gc
import signal
import sys

from pydantic import ValidationError

from api.app import create_app
from api.hot.server import Server
from api.settings import ApiSettings
from runtime.logs import configure_logs


def main() -> None:
    """Serve, one process; exit 0 on SIGTERM, once what is under way is answered."""
    try:
        settings = ApiSettings()
    except ValidationError as error:
        sys.exit(f"api: {error}")
    configure_logs("api", settings.log_level)
    # uvicorn raises the signal that stopped it once more when all is closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = Server(create_app(settings), settings.api_host, settings.api_port)
    _collect_garbage_seldom()
    server.run()
    if not server.started:
        sys.exit(f"api: nothing could be served on {settings.api_host}:{settings.api_port}")


def _collect_garbage_seldom() -> None:
    """Let the collector pass by what lives as long as the process, and look seldom for the rest.

    A collection halts every answer under way, and requests leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


if __name__ == "__main__":
    main()
