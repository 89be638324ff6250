"""The answers about the pipeline: the only definition of their JSON."""

from typing import Literal

import msgspec

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


class LetterReason(msgspec.Struct, frozen=True):
    """Why records were rejected, without their content."""

    reason: str
    """`…` replaces texts and numbers from the records"""
    count: int
    last_at_ms: int
    """when the latest of them was rejected"""


class TopicState(msgspec.Struct, frozen=True):
    """The progress of a topic."""

    topic: str
    lag: int | None
    rate: float | None
    """recent incoming records per second; null: not known yet"""
    dead_letters: int | None
    """records in its dead-letter topic, of the last 30 days"""
    reasons: list[LetterReason]
    """of the newest dead letters, most frequent first"""
    partitions: list[PartitionState]


class Pipeline(msgspec.Struct, frozen=True):
    """The workers' progress."""

    kafka: str
    """`ok`, or why the ends of the logs or the dead letters are not known"""
    topics: list[TopicState]


class TopicHistory(msgspec.Struct, frozen=True):
    """The past progress of a topic: columns with a value for each of the `ts`; null: not known."""

    topic: str
    lag: list[int | None]
    rate: list[float | None]
    """incoming records per second"""
    age_ms: list[int | None]
    """the highest of the partitions that are behind; 0: none is"""
    dead_letter_rate: list[float | None]
    """rejected records per second"""


class PipelineHistory(msgspec.Struct, frozen=True):
    """The workers' past progress, as sampled by this process."""

    since_ms: int
    """when sampling began"""
    every_ms: int
    ts: list[int]
    """times of the samples, oldest first"""
    topics: list[TopicHistory]


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that a worker rejected."""

    topic: str
    partition: int | None
    """the record's offset in the topic; null: not written by a worker"""
    offset: int | None
    rejected_at_ms: int
    reason: str
    key: str | None
    """truncated, as `value`"""
    value: str | None
    """truncated; bytes that are not UTF-8 appear as `\\xff`; null: the record has none"""
    value_bytes: int
    """of the complete value"""


class DeadLetters(msgspec.Struct, frozen=True):
    """Records that workers rejected."""

    kafka: str
    """`ok`, or why the newest may be missing"""
    dead_letters: list[DeadLetter]
    """newest first"""
