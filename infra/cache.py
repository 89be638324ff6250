"""Tools that checks need besides Python packages: built once, and kept outside the tree."""

import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class NotMadeError(RuntimeError):
    """Something cannot be fetched or built here; the message says why."""


@contextmanager
def cache(name: str) -> Iterator[Path]:
    """Lock the folder `~/.cache/tickrec/NAME`, or the same below XDG_CACHE_HOME."""
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    folder = home / "tickrec" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def run(argv: Sequence[str], folder: Path | None = None) -> str:
    """Run a program, with cgo disabled for Go, and return its output.

    Raises:
        NotMadeError: it failed; with its output.
    """
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NotMadeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
