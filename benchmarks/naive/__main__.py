"""`python -m benchmarks.naive HOST PORT`: serve the baseline with uvicorn at its fastest."""

import sys

import uvicorn

from benchmarks.naive.app import create_app
from runtime.settings import SharedSettings


def main() -> None:
    """Serve, one process, until SIGTERM."""
    host, port = sys.argv[1:]
    uvicorn.run(
        create_app(SharedSettings()),
        host=host,
        port=int(port),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
