"""Starts a Schema Registry: Apicurio, which has Confluent's API under a path."""

import tarfile
import tempfile
from pathlib import Path
from typing import Final

from infra.local.maven import fetched
from infra.local.process import LOOPBACK, Command, Server
from tests.patience import answers

_POM: Final = Path(__file__).with_name("pom.xml")
_VERSION: Final = "2.6.13.Final"
_JAR: Final = f"apicurio-registry-app-{_VERSION}-runner.jar"


def registry(port: int, folder: Path, *properties: str) -> Server:
    """Apicurio Registry with an empty memory; its log goes into `folder`.

    Args:
        port: of HTTP.
        folder: for the log.
        properties: of Quarkus, each as `name=value`.

    Raises:
        NoJarsError: Java or Maven is missing, or cannot fetch it.
    """
    # It lives for minutes: Java's second compiler costs as much as all else at its start.
    java = ("java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    options = (f"quarkus.http.host={LOOPBACK}", f"quarkus.http.port={port}", *properties)
    command = Command(
        name="registry",
        argv=(*java, *(f"-D{option}" for option in options), "-jar", str(_jar())),
        log=folder / "registry.log",
    )
    url = f"http://{LOOPBACK}:{port}/apis/ccompat/v7"
    return Server(command, url, f"Apicurio Registry {_VERSION}", lambda: answers(f"{url}/subjects"))


def _jar() -> Path:
    """Return the program, unpacked if it is not yet."""
    archives = fetched(_POM, "registry", _VERSION)
    unpacked = archives.with_name(f"{archives.name}-unpacked")
    if not unpacked.is_dir():
        with tempfile.TemporaryDirectory(dir=archives.parent) as half_done:
            with tarfile.open(next(archives.glob("*.tar.gz"))) as archive:
                archive.extractall(half_done, filter="data")
            Path(half_done, ".").rename(unpacked)
    return next(unpacked.rglob(_JAR))
