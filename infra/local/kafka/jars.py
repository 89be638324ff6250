"""Fetches the broker's jars with Maven, once per version."""

import fcntl
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from infra.local.paths import HOME

_POM: Final = Path(__file__).with_name("pom.xml")
_FETCH_WITHIN_S: Final = 300


class NoKafkaError(RuntimeError):
    """Java or Maven is missing here, or Maven cannot fetch the jars."""


def version() -> str:
    """Return the version of Kafka that `pom.xml` names."""
    found = re.search(r"kafka_[\d.]+</artifactId>\s*<version>(.+?)</version>", _POM.read_text())
    if found is None:
        raise ValueError(f"{_POM} names no version of kafka_2.13")
    return found[1]


def jars() -> Path:
    """Return the folder with the jars, fetched with Maven if it is not there yet.

    Raises:
        NoKafkaError: what is missing, and what to do about it.
    """
    for program, package in (("java", "a JRE of 17 or newer"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            raise NoKafkaError(f"no {program} on PATH: install {package}")
    cache = HOME / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"kafka-{version()}"
    with (cache / "kafka.lock").open("w") as lock:
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
            raise NoKafkaError(f"Maven could not fetch Kafka: {failed.stdout.strip()}") from failed
        except subprocess.TimeoutExpired as failed:
            raise NoKafkaError(
                f"Maven fetched Kafka for more than {_FETCH_WITHIN_S} s: is its repository slow?"
            ) from failed
        target.rename(folder)
