"""`python -m api`: serve HTTP until SIGTERM."""

import signal
import sys

import uvicorn
from pydantic import ValidationError

from api.app import create_app
from api.settings import ApiSettings
from runtime.logs import configure_logs

_GRACE_S = 10
"""What is under way may end within it: longer than the longest bound of an answer."""


def main() -> None:
    """Serve, one process; exit 0 on SIGTERM, once what is under way is answered."""
    try:
        settings = ApiSettings()
    except ValidationError as error:
        sys.exit(f"api: {error}")
    configure_logs("api", settings.log_level)
    # uvicorn raises the signal that stopped it once more when all is closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        log_config=None,
        access_log=False,  # it would name users
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


if __name__ == "__main__":
    main()
