"""How to start Apache Iceberg's REST catalog here, with jars that Maven fetches once."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import httpx
import pytest

from infra.local.paths import HOME
from infra.local.process import LOOPBACK, Command, Server

_HERE: Final = Path(__file__).parent
_POM: Final = _HERE / "pom.xml"
_SOURCE: Final = _HERE / "RestCatalog.java"
_FETCH_WITHIN_S: Final = 300


def rest_catalog(port: int, folder: Path, secret: str | None = None) -> Server:
    """Iceberg's REST catalog, open to all or to who knows a secret; its tables are in a folder.

    It may be stopped, and started again on the same folder. The test is skipped where it cannot be
    had.
    """
    argv = ("java", "-Xmx256m", "-cp", f"{_jars()}/*", str(_SOURCE), LOOPBACK, str(port))
    url = f"http://{LOOPBACK}:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/v1/config").status_code in {200, 401}
        except httpx.TransportError:
            return False

    folder.mkdir(parents=True, exist_ok=True)
    command = Command(
        name="rest",
        argv=(*argv, str(folder), *([] if secret is None else [secret])),
        log=folder.with_suffix(".log"),
    )
    return Server(command, url, "Apache Iceberg's REST catalog", answers)


def _jars() -> Path:
    for program, package in (("javac", "a JDK of 17 or newer"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on PATH: install {package}")
    cache = HOME / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"rest-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    with (cache / "rest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as half_done:
        target = Path(half_done) / "jars"
        goal = ("dependency:copy-dependencies", f"-DoutputDirectory={target}")
        argv = ("mvn", "--quiet", "--batch-mode", "--file", str(_POM), *goal)
        try:
            subprocess.run(
                argv, check=True, capture_output=True, text=True, timeout=_FETCH_WITHIN_S
            )
        except subprocess.CalledProcessError as failed:
            pytest.skip(f"Maven could not fetch Iceberg: {failed.stdout.strip()}")
        except subprocess.TimeoutExpired:
            pytest.skip(f"Maven did not fetch Iceberg within {_FETCH_WITHIN_S} s")
        target.rename(folder)
