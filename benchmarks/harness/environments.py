"""Environments of other engines: one for each, made on first use and then kept.

A Python engine gets a venv with what `peers/NAME.lock` pins, hashes checked, so that it neither
constrains our versions nor is constrained by them. A Java engine is built with Maven from
`peers/NAME/`. A folder's name ends with a digest of its source: a changed lock makes a new one.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from infra.local.paths import HOME

PEERS: Final = Path(__file__).parents[1] / "peers"
_CACHE: Final = HOME / "cache"
_MAKE_WITHIN_S: Final = 900
_DIGEST_CHARACTERS: Final = 8


class NoEnvironmentError(RuntimeError):
    """An engine is unavailable here; the text says why."""


def python_of(name: str) -> Path:
    """Return the interpreter of the venv that `peers/NAME.lock` describes.

    Raises:
        NoEnvironmentError: pip cannot install it.
    """
    lock = PEERS / f"{name}.lock"

    def make(folder: Path) -> None:
        run([sys.executable, "-m", "venv", str(folder)], name)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        hashed = ["--no-deps", "--require-hashes", "--requirement", str(lock)]
        run([*pip, "install", "--quiet", *hashed], name)

    return made(name, [lock], make) / "bin" / "python"


def jars_of(name: str) -> Path:
    """Return the folder with the jar of the program in `peers/NAME/` and those that it needs.

    Raises:
        NoEnvironmentError: Java or Maven is missing, or Maven cannot build it.
    """
    for program, package in (("java", "a JDK of 17 or newer"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            raise NoEnvironmentError(f"{name} needs {package}: no {program} on PATH")
    pom = str(PEERS / name / "pom.xml")

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as built:
            where = (f"-Dbuilt={built}", f"-Djars={folder}")
            run(["mvn", "--quiet", "--batch-mode", "--file", pom, *where, "package"], name)

    sources = [source for folder in (name, "jvm") for source in sorted((PEERS / folder).iterdir())]
    return made(name, sources, make)


def pinned_version(name: str) -> str:
    """Return the version of an engine that its lock file or its `pom.xml` names.

    Raises:
        ValueError: neither names one.
    """
    lock, pom = PEERS / f"{name}.lock", PEERS / name / "pom.xml"
    for source, pattern in (
        (lock, rf"^{name}==(\S+)"),
        (pom, r"<engine\.version>(.+?)</engine\.version>"),
    ):
        found = re.search(pattern, source.read_text(), re.MULTILINE) if source.exists() else None
        if found is not None:
            return found[1]
    raise ValueError(f"neither {lock} nor {pom} names a version of {name}")


def made(name: str, sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` fills, after letting it do so if it is not there yet."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    folder = _CACHE / f"{name}-{digest.hexdigest()[:_DIGEST_CHARACTERS]}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A venv cannot be moved once it is made, so a file inside says that it is whole.
        whole = folder / ".whole"
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            whole.touch()
    return folder


def run(argv: Sequence[str], name: str) -> None:
    """Run a command that installs an engine.

    Raises:
        NoEnvironmentError: it failed, with what it said, or took too long.
    """
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True, timeout=_MAKE_WITHIN_S)
    except subprocess.CalledProcessError as failed:
        said = (failed.stdout + failed.stderr).strip()
        raise NoEnvironmentError(f"{name} cannot be installed here: {said}") from failed
    except subprocess.TimeoutExpired as failed:
        raise NoEnvironmentError(
            f"{name} was not installed within {_MAKE_WITHIN_S} s: is the package index slow?"
        ) from failed
