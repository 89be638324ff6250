"""How to start Apache Iceberg's REST catalog here, with jars that Maven fetches once."""

import hashlib
from pathlib import Path
from typing import Final

import httpx
import pytest

from infra.local.maven import NoJarsError, fetched
from infra.local.process import LOOPBACK, Command, Server

_HERE: Final = Path(__file__).parent
_POM: Final = _HERE / "pom.xml"
_SOURCE: Final = _HERE / "RestCatalog.java"


def rest_catalog(port: int, folder: Path, secret: str | None = None) -> Server:
    """Iceberg's REST catalog, open to all or to who knows a secret; its tables are in a folder.

    It may be stopped, and started again on the same folder. The test is skipped where it cannot be
    had.
    """
    jars = jars_of(_POM, "iceberg-rest", java="javac")
    argv = ("java", "-Xmx256m", "-cp", f"{jars}/*", str(_SOURCE), LOOPBACK, str(port))
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


def jars_of(pom: Path, what: str, java: str = "java") -> Path:
    """Return the folder with the jars that a file names; the test is skipped without them."""
    version = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    try:
        return fetched(pom, what, version, java)
    except NoJarsError as error:
        pytest.skip(str(error))
