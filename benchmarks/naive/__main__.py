"""`python -m benchmarks.naive`: serve the baseline with uvicorn at its fastest."""

import os

import uvicorn

from benchmarks.naive.app import create_app
from runtime.settings import SharedSettings


def main() -> None:
    """Serve at `API_HOST` and `API_PORT`, one process, until SIGTERM."""
    uvicorn.run(
        create_app(SharedSettings()),
        host=os.environ["API_HOST"],
        port=int(os.environ["API_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
