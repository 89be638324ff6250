"""The engines that `bars --vs` compares ours with, and how each is run."""

import enum
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.harness.contender import ContenderError
from infra.local.maven import NoJarsError, fetched

_FLINK: Final = Path(__file__).with_name("flink")
# The heap is fixed and roomy, so that neither growing nor filling it costs anything.
_JVM: Final = (
    *("java", "-Xms2g", "-Xmx2g", "-XX:+UseParallelGC"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
# Flink reads fields of the JDK's classes: its own start scripts open these, too.
_OPENED: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.util", "java.time", "java.nio", "sun.nio.ch")
)


class Engine(enum.StrEnum):
    """What ours is compared with."""

    PLAIN_FAUST = "plain-faust"
    FLINK = "flink"


class Program(NamedTuple):
    """How an engine is run, and on how much."""

    name: str
    version: str
    argv: tuple[str, ...]
    quotes: int
    """that it folds at least: a run of ten seconds or more, in which a JIT has long warmed up"""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def program(engine: Engine, folder: Path) -> Program:
    """Return the engine's program; what must be compiled for it goes into a folder.

    Raises:
        ContenderError: the engine is unavailable here; the text says why.
    """
    if engine is Engine.PLAIN_FAUST:
        argv: tuple[str, ...] = (sys.executable, "-m", "benchmarks.peers.plain_faust")
        return Program(engine, version("faust-streaming"), argv, 50_000)
    argv = (*_JVM, *_OPENED, "-cp", _compiled(folder / engine), "tickrec.FlinkBars")
    return Program(engine, flink_version(), argv, 4_000_000)


def flink_version() -> str:
    """Return the version of Flink that `pom.xml` names.

    Raises:
        ValueError: it names none.
    """
    pom = ET.parse(_FLINK / "pom.xml")
    found = pom.findtext(".//{*}properties/{*}engine.version")
    if found is None:
        raise ValueError("pom.xml names no version of Flink")
    return found


def _compiled(folder: Path) -> str:
    """Compile the program for Flink into a folder, and return the class path."""
    try:
        jars = fetched(_FLINK / "pom.xml", "flink", flink_version(), java="javac")
        sources = map(str, sorted(_FLINK.glob("*.java")))
        argv = ("javac", "-cp", f"{jars}/*", "-d", str(folder), *sources)
        subprocess.run(argv, check=True, capture_output=True, text=True)
    except NoJarsError as error:
        raise ContenderError(str(error)) from error
    except subprocess.CalledProcessError as failed:
        raise ContenderError(f"javac failed: {failed.stderr.strip()}") from failed
    return f"{folder}:{jars}/*"
