"""The answers about the pipeline: the only definition of their JSON."""

from typing import Literal

import msgspec

State = Literal["new", "current", "behind", "held back", "stalled", "unknown"]


class PartitionState(msgspec.Struct, frozen=True):
    """How far a partition is."""

    partition: int
    state: State
    next: int | None
    """the offset that is folded next; null: nothing was folded yet"""
    incarnation: int | None
    """how often the topic was made anew"""
    end: int | None
    """of the log, committed or not; null: Kafka does not say"""
    lag: int | None
    """records that are not folded yet"""
    age_ms: int | None
    """since the position was written; it is not while nothing comes"""


class LetterReason(msgspec.Struct, frozen=True):
    """Why records were rejected, without what they held."""

    reason: str
    """`…` stands for texts and numbers out of the records"""
    count: int
    last_at_ms: int
    """when the latest of them was rejected"""


class TopicState(msgspec.Struct, frozen=True):
    """How far a topic is."""

    topic: str
    lag: int | None
    rate: float | None
    """records a second that came in lately; null: not known yet"""
    dead_letters: int | None
    """records in its topic of dead letters, of the last 30 days"""
    reasons: list[LetterReason]
    """of the newest dead letters, the most frequent first"""
    partitions: list[PartitionState]


class Pipeline(msgspec.Struct, frozen=True):
    """How far the workers are."""

    kafka: str
    """`ok`, or why it does not tell the ends of the logs, or the dead letters"""
    topics: list[TopicState]


class TopicHistory(msgspec.Struct, frozen=True):
    """How far a topic was: columns, a value for each of the `ts`; null: not known."""

    topic: str
    lag: list[int | None]
    rate: list[float | None]
    """records a second that came in"""
    age_ms: list[int | None]
    """the greatest of the partitions that are behind; 0: none is"""
    dead_letter_rate: list[float | None]
    """records a second that were rejected"""


class PipelineHistory(msgspec.Struct, frozen=True):
    """How far the workers were, as this process saw it."""

    since_ms: int
    """when the process began to look"""
    every_ms: int
    ts: list[int]
    """when it looked, oldest first"""
    topics: list[TopicHistory]


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that a worker rejected."""

    topic: str
    partition: int | None
    """where the record stands in the topic; null: not written by a worker"""
    offset: int | None
    rejected_at_ms: int
    reason: str
    key: str | None
    """the beginning, as `value`"""
    value: str | None
    """the beginning; what is not UTF-8 in it is `\\xff`; null: the record has none"""
    value_bytes: int
    """of the whole value"""


class DeadLetters(msgspec.Struct, frozen=True):
    """Records that workers rejected."""

    kafka: str
    """`ok`, or why what is newest may be missing"""
    dead_letters: list[DeadLetter]
    """newest first"""
