"""Fetches the jars of a `pom.xml` with Maven, once."""

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from infra.local.paths import HOME

_FETCH_WITHIN_S: Final = 300


class NoJarsError(RuntimeError):
    """Java or Maven is missing here, or Maven cannot fetch the jars."""


def fetched(pom: Path, what: str, version: str, java: str = "java") -> Path:
    """Return the folder with the jars that a file names, fetched if missing.

    Args:
        pom: names the jars, with their versions.
        what: a word for the jars; part of the folder's name.
        version: of the jars: each version has its own folder.
        java: the program that they need.

    Raises:
        NoJarsError: what is missing, and the remedy.
    """
    packages = {"java": "a JRE of 17 or newer", "javac": "a JDK of 17 or newer", "mvn": "Maven"}
    for program in (java, "mvn"):
        if shutil.which(program) is None:
            raise NoJarsError(f"no {program} on PATH: install {packages[program]}")
    cache = HOME / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{what}-{version}"
    with (cache / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(pom, what, folder)
    return folder


def _fetch(pom: Path, what: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as half_done:
        target = Path(half_done) / "jars"
        goal = ("dependency:copy-dependencies", f"-DoutputDirectory={target}")
        argv = ("mvn", "--quiet", "--batch-mode", "--file", str(pom), *goal)
        try:
            subprocess.run(
                argv, check=True, capture_output=True, text=True, timeout=_FETCH_WITHIN_S
            )
        except subprocess.CalledProcessError as failed:
            raise NoJarsError(f"Maven could not fetch {what}: {failed.stdout.strip()}") from failed
        except subprocess.TimeoutExpired as failed:
            raise NoJarsError(
                f"Maven fetched {what} for more than {_FETCH_WITHIN_S} s: is its repository slow?"
            ) from failed
        target.rename(folder)
