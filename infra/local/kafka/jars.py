"""The broker's jars."""

import re
from pathlib import Path
from typing import Final

from infra.local.maven import NoJarsError, fetched

_POM: Final = Path(__file__).with_name("pom.xml")


class NoKafkaError(RuntimeError):
    """Java or Maven is missing here, or Maven cannot fetch the jars."""


def version() -> str:
    """Return the version of Kafka that `pom.xml` names."""
    found = re.search(r"kafka_[\d.]+</artifactId>\s*<version>(.+?)</version>", _POM.read_text())
    if found is None:
        raise ValueError(f"{_POM} names no version of kafka_2.13")
    return found[1]


def jars() -> Path:
    """Return the folder with the jars, fetched with Maven if missing.

    Raises:
        NoKafkaError: what is missing, and the remedy.
    """
    try:
        return fetched(_POM, "kafka", version())
    except NoJarsError as error:
        raise NoKafkaError(str(error)) from error
