"""The engines that `bars --vs` runs ours against, and how each is run."""

import enum
import sys
from importlib.metadata import version
from typing import Final, NamedTuple

from benchmarks.harness.environments import jars_of, pinned_version, python_of

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
    BYTEWAX = "bytewax"
    QUIXSTREAMS = "quixstreams"
    PATHWAY = "pathway"
    KAFKA_STREAMS = "kafka-streams"
    FLINK = "flink"


QUOTES_AT_LEAST: Final = {
    Engine.PLAIN_FAUST: 50_000,
    Engine.BYTEWAX: 1_000_000,
    Engine.QUIXSTREAMS: 200_000,
    Engine.PATHWAY: 500_000,
    Engine.KAFKA_STREAMS: 4_000_000,
    Engine.FLINK: 4_000_000,
}
"""How many each folds: a run of ten seconds or more, in which a JIT has long warmed up."""


class Program(NamedTuple):
    """How an engine is run, and on how much."""

    name: str
    version: str
    argv: tuple[str, ...]
    quotes: int
    """that it folds at least"""
    log: int
    """quotes that must be in Kafka for that"""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def program(engine: Engine) -> Program:
    """Return the engine's program, in an environment that is made now if there is none yet.

    Raises:
        NoEnvironmentError: it cannot be made here, and why.
    """
    quotes = QUOTES_AT_LEAST[engine]
    # Pathway's first minibatch does not count, see there.
    log = quotes * (3 if engine is Engine.PATHWAY else 1)
    if engine is Engine.PLAIN_FAUST:
        argv: tuple[str, ...] = (sys.executable, "-m", "benchmarks.peers.plain_faust")
        return Program(engine, version("faust-streaming"), argv, quotes, log)
    if engine in (Engine.KAFKA_STREAMS, Engine.FLINK):
        main = {Engine.KAFKA_STREAMS: "StreamsBars", Engine.FLINK: "FlinkBars"}[engine]
        argv = (*_JVM, *_OPENED, "-cp", f"{jars_of(engine)}/*", f"tickrec.{main}")
    else:
        argv = (str(python_of(engine)), "-m", f"benchmarks.peers.{engine}")
    return Program(engine, pinned_version(engine), argv, quotes, log)
