"""The answers about the processes: the only definition of their JSON."""

from typing import Literal

import msgspec


class Liveness(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: Literal["alive"]


class Readiness(msgspec.Struct, frozen=True):
    """Reads can be served; `kafka` shows whether writes can, too."""

    status: Literal["ready"]
    redis: str
    kafka: str


State = Literal["new", "current", "behind", "held back", "stalled", "unknown"]


class PartitionState(msgspec.Struct, frozen=True):
    """The progress of a partition."""

    partition: int
    state: State
    next: int | None
    """the offset to be folded next; null: nothing has been folded yet"""
    incarnation: int | None
    """how often the topic was recreated"""
    end: int | None
    """of the log, committed or not; null: Kafka does not answer"""
    lag: int | None
    """records not folded yet"""
    age_ms: int | None
    """since the position was written, which does not happen while no records arrive"""


class TopicState(msgspec.Struct, frozen=True):
    """The progress of a topic."""

    topic: str
    lag: int | None
    rate: float | None
    """recent incoming records per second; null: not known yet"""
    dead_letters: int | None
    """records in its dead-letter topic, of the last 30 days"""
    late: int | None
    """quotes dropped so far: older than what is retained of their instrument; null: other topics"""
    partitions: list[PartitionState]


class Pipeline(msgspec.Struct, frozen=True):
    """The workers' progress."""

    kafka: str
    """`ok`, or why the ends of the logs are not known"""
    topics: list[TopicState]
