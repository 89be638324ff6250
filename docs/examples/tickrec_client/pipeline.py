"""What the API answers about the workers."""

from typing import Literal

import msgspec


class Partition(msgspec.Struct, frozen=True):
    """How far the workers are in a partition; what is not known is None."""

    partition: int
    state: Literal["new", "current", "behind", "held back", "stalled", "unknown"]
    next: int | None
    incarnation: int | None
    end: int | None
    lag: int | None
    age_ms: int | None


class LetterReason(msgspec.Struct, frozen=True):
    """Why records were rejected, how many lately, and when the latest was, epoch ms."""

    reason: str
    count: int
    last_at_ms: int


class Topic(msgspec.Struct, frozen=True):
    """How far the workers are in a topic; `rate` is records a second."""

    topic: str
    lag: int | None
    rate: float | None
    dead_letters: int | None
    reasons: list[LetterReason]
    partitions: list[Partition]


class Pipeline(msgspec.Struct, frozen=True):
    """How far the workers are; `kafka` is `ok`, or why the logs' ends are not known."""

    kafka: str
    topics: list[Topic]


class TopicHistory(msgspec.Struct, frozen=True):
    """How far the workers were in a topic: a value for each of the `ts`, None if not known."""

    topic: str
    lag: list[int | None]
    rate: list[float | None]
    age_ms: list[int | None]
    dead_letter_rate: list[float | None]


class PipelineHistory(msgspec.Struct, frozen=True):
    """How far the workers were, as one API process saw it since it began; times are epoch ms."""

    since_ms: int
    every_ms: int
    ts: list[int]
    topics: list[TopicHistory]


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that a worker rejected, with the beginnings of its key and value."""

    topic: str
    partition: int | None
    offset: int | None
    rejected_at_ms: int
    reason: str
    key: str | None
    value: str | None
    value_bytes: int


class DeadLetters(msgspec.Struct, frozen=True):
    """Records that workers rejected, newest first; `kafka` says if some may be missing."""

    kafka: str
    dead_letters: list[DeadLetter]
